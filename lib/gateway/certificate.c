/* SPDX-License-Identifier: Apache-2.0 */
/* X.509 certificates encoded by hand. */
#include "gateway/certificate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bytestring.h>
#include <openssl/digest.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/ecdsa.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

/* RFC 5280: a common name has at most 64 characters; a longer host name stands in the SAN alone. */
#define COMMON_NAME_MAX 64

static const uint8_t OID_COMMON_NAME[] = { 0x55, 0x04, 0x03 };
static const uint8_t OID_BASIC_CONSTRAINTS[] = { 0x55, 0x1d, 0x13 };
static const uint8_t OID_KEY_USAGE[] = { 0x55, 0x1d, 0x0f };
static const uint8_t OID_EXT_KEY_USAGE[] = { 0x55, 0x1d, 0x25 };
static const uint8_t OID_SUBJECT_ALT_NAME[] = { 0x55, 0x1d, 0x11 };
static const uint8_t OID_SUBJECT_KEY_ID[] = { 0x55, 0x1d, 0x0e };
static const uint8_t OID_AUTHORITY_KEY_ID[] = { 0x55, 0x1d, 0x23 };
static const uint8_t OID_SERVER_AUTH[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01 };
static const uint8_t OID_ECDSA_SHA256[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };

static bool add_oid(CBB *out, const uint8_t *oid, size_t len)
{
	CBB child;
	return CBB_add_asn1(out, &child, CBS_ASN1_OBJECT) && CBB_add_bytes(&child, oid, len) && CBB_flush(out);
}

static bool add_algorithm(CBB *out)
{
	CBB seq;
	return CBB_add_asn1(out, &seq, CBS_ASN1_SEQUENCE) && add_oid(&seq, OID_ECDSA_SHA256, sizeof(OID_ECDSA_SHA256)) &&
	       CBB_flush(out);
}

static bool add_name(CBB *out, const char *cn)
{
	CBB name, set, attribute, value;

	if (!CBB_add_asn1(out, &name, CBS_ASN1_SEQUENCE))
		return false;
	if (cn && strlen(cn) <= COMMON_NAME_MAX &&
	    (!CBB_add_asn1(&name, &set, CBS_ASN1_SET) || !CBB_add_asn1(&set, &attribute, CBS_ASN1_SEQUENCE) ||
	     !add_oid(&attribute, OID_COMMON_NAME, sizeof(OID_COMMON_NAME)) ||
	     !CBB_add_asn1(&attribute, &value, CBS_ASN1_UTF8STRING) ||
	     !CBB_add_bytes(&value, (const uint8_t *)cn, strlen(cn))))
		return false;
	return CBB_flush(out);
}

static bool add_time(CBB *out, time_t t)
{
	struct tm tm;
	char text[32];
	CBB child;

	if (!gmtime_r(&t, &tm))
		return false;
	/* RFC 5280: UTCTime through 2049, GeneralizedTime from 2050 on. */
	bool utc = tm.tm_year < 150;
	size_t len = strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &tm);
	size_t century = utc ? 2 : 0; /* UTCTime has two digits for the year */
	return len && CBB_add_asn1(out, &child, utc ? CBS_ASN1_UTCTIME : CBS_ASN1_GENERALIZEDTIME) &&
	       CBB_add_bytes(&child, (const uint8_t *)text + century, len - century) && CBB_flush(out);
}

/* Opens Extension { oid, critical, OCTET STRING }; the caller fills value and flushes list. */
static bool open_extension(CBB *list, CBB *extension, CBB *value, const uint8_t *oid, size_t oid_len, bool critical)
{
	return CBB_add_asn1(list, extension, CBS_ASN1_SEQUENCE) && add_oid(extension, oid, oid_len) &&
	       (!critical || CBB_add_asn1_bool(extension, 1)) && CBB_add_asn1(extension, value, CBS_ASN1_OCTETSTRING);
}

static bool add_constraints(CBB *list, bool authority)
{
	CBB ext, value, seq;
	return open_extension(list, &ext, &value, OID_BASIC_CONSTRAINTS, sizeof(OID_BASIC_CONSTRAINTS), true) &&
	       CBB_add_asn1(&value, &seq, CBS_ASN1_SEQUENCE) &&
	       (!authority || (CBB_add_asn1_bool(&seq, 1) && CBB_add_asn1_uint64(&seq, 0))) && CBB_flush(list);
}

static bool add_key_usage(CBB *list, bool authority)
{
	CBB ext, value, bits;
	/* keyCertSign | cRLSign with one unused bit, or digitalSignature with seven. */
	uint8_t unused = authority ? 1 : 7, mask = authority ? 0x06 : 0x80;
	return open_extension(list, &ext, &value, OID_KEY_USAGE, sizeof(OID_KEY_USAGE), true) &&
	       CBB_add_asn1(&value, &bits, CBS_ASN1_BITSTRING) && CBB_add_u8(&bits, unused) &&
	       CBB_add_u8(&bits, mask) && CBB_flush(list);
}

static bool add_key_ids(CBB *list, const struct certificate_spec *spec)
{
	CBB ext, value, seq, id;

	if (!open_extension(list, &ext, &value, OID_SUBJECT_KEY_ID, sizeof(OID_SUBJECT_KEY_ID), false) ||
	    !CBB_add_asn1(&value, &id, CBS_ASN1_OCTETSTRING) || !CBB_add_bytes(&id, spec->subject_key_id, KEY_ID_LEN) ||
	    !CBB_flush(list))
		return false;
	return open_extension(list, &ext, &value, OID_AUTHORITY_KEY_ID, sizeof(OID_AUTHORITY_KEY_ID), false) &&
	       CBB_add_asn1(&value, &seq, CBS_ASN1_SEQUENCE) &&
	       CBB_add_asn1(&seq, &id, CBS_ASN1_CONTEXT_SPECIFIC | 0) &&
	       CBB_add_bytes(&id, spec->issuer_key_id, KEY_ID_LEN) && CBB_flush(list);
}

static bool add_leaf_extensions(CBB *list, const char *host)
{
	CBB ext, value, seq, name;
	struct in_addr v4;
	struct in6_addr v6;

	if (!open_extension(list, &ext, &value, OID_EXT_KEY_USAGE, sizeof(OID_EXT_KEY_USAGE), false) ||
	    !CBB_add_asn1(&value, &seq, CBS_ASN1_SEQUENCE) || !add_oid(&seq, OID_SERVER_AUTH, sizeof(OID_SERVER_AUTH)) ||
	    !CBB_flush(list))
		return false;
	/* With an empty subject the SAN has to be critical (RFC 5280 4.2.1.6). */
	bool critical = strlen(host) > COMMON_NAME_MAX;
	if (!open_extension(list, &ext, &value, OID_SUBJECT_ALT_NAME, sizeof(OID_SUBJECT_ALT_NAME), critical) ||
	    !CBB_add_asn1(&value, &seq, CBS_ASN1_SEQUENCE))
		return false;
	bool ok;
	if (inet_pton(AF_INET, host, &v4) == 1)
		ok = CBB_add_asn1(&seq, &name, CBS_ASN1_CONTEXT_SPECIFIC | 7) &&
		     CBB_add_bytes(&name, (const uint8_t *)&v4, sizeof(v4));
	else if (inet_pton(AF_INET6, host, &v6) == 1)
		ok = CBB_add_asn1(&seq, &name, CBS_ASN1_CONTEXT_SPECIFIC | 7) &&
		     CBB_add_bytes(&name, (const uint8_t *)&v6, sizeof(v6));
	else
		ok = CBB_add_asn1(&seq, &name, CBS_ASN1_CONTEXT_SPECIFIC | 2) &&
		     CBB_add_bytes(&name, (const uint8_t *)host, strlen(host));
	return ok && CBB_flush(list);
}

static bool add_tbs(CBB *out, const struct certificate_spec *spec)
{
	CBB tbs, version, serial, validity, wrap, list;
	uint8_t number[16];

	RAND_bytes(number, sizeof(number));
	number[0] = (uint8_t)((number[0] & 0x7f) | 0x40); /* positive and never zero */
	if (!CBB_add_asn1(out, &tbs, CBS_ASN1_SEQUENCE) ||
	    !CBB_add_asn1(&tbs, &version, CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 0) ||
	    !CBB_add_asn1_uint64(&version, 2) || !CBB_add_asn1(&tbs, &serial, CBS_ASN1_INTEGER) ||
	    !CBB_add_bytes(&serial, number, sizeof(number)) || !add_algorithm(&tbs) ||
	    !add_name(&tbs, spec->issuer_cn) || !CBB_add_asn1(&tbs, &validity, CBS_ASN1_SEQUENCE) ||
	    !add_time(&validity, spec->not_before) || !add_time(&validity, spec->not_after) || !CBB_flush(&tbs) ||
	    !add_name(&tbs, spec->subject) || !EVP_marshal_public_key(&tbs, spec->key) ||
	    !CBB_add_asn1(&tbs, &wrap, CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 3) ||
	    !CBB_add_asn1(&wrap, &list, CBS_ASN1_SEQUENCE))
		return false;
	return add_constraints(&list, spec->authority) && add_key_usage(&list, spec->authority) &&
	       (spec->authority || add_leaf_extensions(&list, spec->subject)) && add_key_ids(&list, spec) &&
	       CBB_flush(out);
}

static bool add_signature(CBB *cert, const uint8_t *tbs, size_t tbs_len, EVP_PKEY *signer)
{
	uint8_t digest[SHA256_DIGEST_LENGTH], signature[128];
	unsigned len = sizeof(signature);
	CBB bits;

	SHA256(tbs, tbs_len, digest);
	EC_KEY *key = EVP_PKEY_get0_EC_KEY(signer);
	return key && (size_t)ECDSA_size(key) <= sizeof(signature) &&
	       ECDSA_sign(0, digest, sizeof(digest), signature, &len, key) && add_algorithm(cert) &&
	       CBB_add_asn1(cert, &bits, CBS_ASN1_BITSTRING) && CBB_add_u8(&bits, 0) &&
	       CBB_add_bytes(&bits, signature, len) && CBB_flush(cert);
}

int certificate_make(const struct certificate_spec *spec, uint8_t **ret_der, size_t *ret_len)
{
	CBB tbs, out, cert;
	uint8_t *tbs_der = NULL;
	size_t tbs_len = 0;

	CBB_zero(&tbs);
	CBB_zero(&out);
	bool ok = CBB_init(&tbs, 512) && add_tbs(&tbs, spec) && CBB_finish(&tbs, &tbs_der, &tbs_len) &&
		  CBB_init(&out, 640) && CBB_add_asn1(&out, &cert, CBS_ASN1_SEQUENCE) &&
		  CBB_add_bytes(&cert, tbs_der, tbs_len) && add_signature(&cert, tbs_der, tbs_len, spec->signer) &&
		  CBB_finish(&out, ret_der, ret_len);
	CBB_cleanup(&tbs);
	CBB_cleanup(&out);
	OPENSSL_free(tbs_der);
	return ok ? 0 : -EIO;
}

int certificate_key_id(EVP_PKEY *key, uint8_t ret[KEY_ID_LEN])
{
	uint8_t digest[SHA256_DIGEST_LENGTH], point[128];
	const EC_KEY *ec = EVP_PKEY_get0_EC_KEY(key);

	if (!ec)
		return -EINVAL;
	size_t len = EC_POINT_point2oct(EC_KEY_get0_group(ec), EC_KEY_get0_public_key(ec), POINT_CONVERSION_UNCOMPRESSED,
					point, sizeof(point), NULL);
	if (!len)
		return -EIO;
	SHA256(point, len, digest);
	memcpy(ret, digest, KEY_ID_LEN);
	return 0;
}

EVP_PKEY *certificate_new_key(void)
{
	EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
	EVP_PKEY *key = EVP_PKEY_new();

	if (!ec || !key || !EC_KEY_generate_key(ec) || !EVP_PKEY_assign_EC_KEY(key, ec)) {
		EC_KEY_free(ec);
		EVP_PKEY_free(key);
		return NULL;
	}
	return key;
}
