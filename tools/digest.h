/* SHA-1 and SHA-256 (FIPS 180-4), by which the hub names its files. SHA-1 is here because git names blobs by it: it
 * finds damage, it proves nothing about who wrote the file. */
#ifndef DIGEST_H_
#define DIGEST_H_

#include <stddef.h>
#include <stdint.h>

enum digest_kind { DIGEST_SHA1, DIGEST_SHA256 };

#define DIGEST_HEX_SIZE 65 /* 64 digits and a NUL */

struct digest {
    enum digest_kind kind;
    uint32_t state[8]; /* SHA-1 uses five */
    uint64_t length;   /* bytes so far */
    uint8_t block[64];
};

void digest_begin(struct digest *digest, enum digest_kind kind);
void digest_update(struct digest *digest, const void *bytes, size_t size);

/* Lower-case hexadecimal: 40 digits for SHA-1, 64 for SHA-256. */
void digest_end(struct digest *digest, char hex[DIGEST_HEX_SIZE]);

#endif
