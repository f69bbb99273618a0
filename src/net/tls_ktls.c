/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_ktls - asks a socket that is not connected, which changes nothing. */
#include "net/tls_ktls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif

bool
tls_ktls_in_kernel(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is_there;

	if (fd < 0)
		return false;
	/* Known: ENOTCONN, for it wants a connection.  Unknown: ENOENT. */
	is_there = setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls",
	    sizeof("tls") - 1) == 0 || errno == ENOTCONN;
	close(fd);
	return is_there;
}

bool
tls_ktls_in_library(void)
{
#if defined(SSL_OP_ENABLE_KTLS) && !defined(OPENSSL_NO_KTLS)
	return true;
#else
	return false;
#endif
}

const char *
tls_ktls_text(void)
{
	static const char *const texts[2][2] = {
		{ "not used (kernel: no, OpenSSL: no)",
		    "not used (kernel: no, OpenSSL: yes)" },
		{ "not used (kernel: yes, OpenSSL: no)",
		    "not used (kernel: yes, OpenSSL: yes)" },
	};

	return texts[tls_ktls_in_kernel()][tls_ktls_in_library()];
}
