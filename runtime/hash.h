/* FNV-1a over words of 64 bits: enough against truncation and bit rot, as any change of one word changes the result; an
 * attacker who writes to the cache owns the account anyway. */
#ifndef DVK_HASH_H_
#define DVK_HASH_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DVK_HASH_START 0xcbf29ce484222325u

static inline uint64_t dvk_hash(uint64_t hash, const void *bytes, size_t size) {
    const uint8_t *at = bytes;
    for (size_t done = 0; done < size; done += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, at + done, size - done < sizeof(word) ? size - done : sizeof(word));
        hash = (hash ^ word) * 0x100000001b3u;
        hash ^= hash >> 32; /* a product's low bits depend on low bits alone */
    }
    return (hash ^ size) * 0x100000001b3u;
}

#endif
