/* The ZIP archives that torch.save() writes: a strict reader over bytes that somebody else maps. Entries are stored,
 * never compressed, and lie in one root folder of any name. */
#ifndef DVK_TORCH_ZIP_H_
#define DVK_TORCH_ZIP_H_

#include "memory.h"

typedef struct dvk_zip_entry {
    const char *name; /* below the root folder; not terminated */
    size_t name_length;
    const uint8_t *data;
    uint64_t size;
    uint32_t crc;

    uint64_t header; /* the place of its local header */
} dvk_zip_entry;

typedef struct dvk_zip {
    const dvk_allocator *allocator; /* must outlive it */
    dvk_zip_entry *entries;         /* ascending by name */
    size_t count;
} dvk_zip;

/* Whether the bytes begin as a ZIP archive does. */
bool dvk_zip_detect(const void *bytes, size_t size);

/* Local headers and the central directory must agree, and no two entries may share bytes. Contents are not read: see
 * dvk_zip_verify(). `bytes` must outlive the result; `path` is for messages. */
dvk_result dvk_zip_open(const dvk_allocator *allocator, const void *bytes, size_t size, const char *path, dvk_zip *zip,
                        dvk_error *error);
void dvk_zip_close(dvk_zip *zip);

/* NULL if there is none of that name (of `length` characters) in the root folder. */
const dvk_zip_entry *dvk_zip_find(const dvk_zip *zip, const char *name, size_t length);

/* Reads the entry's bytes against its CRC-32. Meant for the small entries: weights are not read before they are used,
 * and what is used is checked for finite values. */
dvk_result dvk_zip_verify(const dvk_zip_entry *entry, const char *path, dvk_error *error);

#endif
