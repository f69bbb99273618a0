/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_kdf - the key schedule of TLS 1.3 without OpenSSL's detours. */
#ifndef NET_TLS_KDF_H
#define NET_TLS_KDF_H

#include <openssl/core.h>

/* Of a provider: TLS13-KDF, with all parameters in the call that derives. */
extern const OSSL_ALGORITHM tls_kdf_functions[];

#endif
