# SPDX-License-Identifier: BSD-2-Clause
"""What the scenarios share: a weir runner, origins and clients."""
