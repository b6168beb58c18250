/* APPNOTE.TXT 6.3.10 (PKWARE) is the format; section numbers below are its own. torch's archives use little of it: data
 * descriptors behind the data with zeros in the local header, an extra field "FB" that pads data to 64 bytes, and
 * always a Zip64 end record. What torch never writes (compression, encryption, several disks, gaps before the
 * directory's end) is refused. */
#include "torch_zip.h"

#include <string.h>

#include "sort.h"

enum {
    LOCAL_SIZE = 30,     /* 4.3.7 local file header, without name and extra field */
    CENTRAL_SIZE = 46,   /* 4.3.12 central directory header, the same */
    END_SIZE = 22,       /* 4.3.16 end of central directory record, without comment */
    END64_SIZE = 56,     /* 4.3.14 its Zip64 form, without extensible data */
    LOCATOR_SIZE = 20,   /* 4.3.15 */
    MAX_COMMENT = 0xffff /* bytes behind the end record */
};

enum { FLAG_ENCRYPTED = 1 << 0, FLAG_DESCRIPTOR = 1 << 3, FLAG_STRONG_ENCRYPTION = 1 << 6 };

#define LOCAL_SIGNATURE 0x04034b50u
#define CENTRAL_SIGNATURE 0x02014b50u
#define END_SIGNATURE 0x06054b50u
#define END64_SIGNATURE 0x06064b50u
#define LOCATOR_SIGNATURE 0x07064b50u

typedef struct reader {
    const uint8_t *bytes;
    uint64_t size;
    const char *path;
    dvk_error *error;
    uint64_t directory, directory_size, count;
} reader;

static uint64_t get(const uint8_t *bytes, int count) {
    uint64_t value = 0;
    while (count-- > 0)
        value = value << 8 | bytes[count];
    return value;
}

static dvk_result damaged(const reader *r, const char *what) {
    return dvk_fail(r->error, DVK_ERROR_BAD_FILE,
                    "%s is no intact torch file: %s; it may be truncated, download or copy it again", r->path, what);
}

/* --------------------------------------------------------------------------------------------- end records */

static dvk_result read_end64(reader *r, uint64_t end, uint64_t *directory_end) {
    const uint8_t *locator = r->bytes + end - LOCATOR_SIZE;
    uint64_t place = get(locator + 8, 8);
    if (get(locator + 4, 4) != 0 || get(locator + 16, 4) > 1)
        return damaged(r, "the archive claims to span several disks");
    if (place > end - LOCATOR_SIZE || end - LOCATOR_SIZE - place < END64_SIZE)
        return damaged(r, "the Zip64 end record lies outside of the file");
    const uint8_t *record = r->bytes + place;
    if (get(record, 4) != END64_SIGNATURE || get(record + 4, 8) != end - LOCATOR_SIZE - place - 12)
        return damaged(r, "the Zip64 end record is not where its locator says");
    if (get(record + 16, 4) || get(record + 20, 4) || get(record + 24, 8) != get(record + 32, 8))
        return damaged(r, "the archive claims to span several disks");
    r->count = get(record + 32, 8);
    r->directory_size = get(record + 40, 8);
    r->directory = get(record + 48, 8);
    *directory_end = place;
    return DVK_OK;
}

/* True where the end record's field is `value`, or its largest value, which stands for "see Zip64". */
static bool agrees(uint64_t field, uint64_t largest, uint64_t value) {
    return field == largest || field == value;
}

static dvk_result read_end(reader *r) {
    if (r->size < END_SIZE)
        return damaged(r, "it is smaller than an empty archive");
    uint64_t end = r->size - END_SIZE, comment = 0;
    while (get(r->bytes + end, 4) != END_SIGNATURE || get(r->bytes + end + 20, 2) != comment) {
        if (end == 0 || comment == MAX_COMMENT)
            return damaged(r, "it does not end in the directory of a ZIP archive");
        end--;
        comment++;
    }
    const uint8_t *record = r->bytes + end;
    const uint64_t count = get(record + 10, 2), size = get(record + 12, 4), place = get(record + 16, 4);
    if (get(record + 4, 2) || get(record + 6, 2) || get(record + 8, 2) != count)
        return damaged(r, "the archive claims to span several disks");
    uint64_t directory_end = end;
    if (end >= LOCATOR_SIZE && get(record - LOCATOR_SIZE, 4) == LOCATOR_SIGNATURE) {
        dvk_result result = read_end64(r, end, &directory_end);
        if (result != DVK_OK)
            return result;
        if (!agrees(count, 0xffff, r->count) || !agrees(size, 0xffffffff, r->directory_size) ||
            !agrees(place, 0xffffffff, r->directory))
            return damaged(r, "its two end records contradict each other");
    } else {
        r->count = count;
        r->directory_size = size;
        r->directory = place;
    }
    if (r->directory > directory_end || directory_end - r->directory != r->directory_size)
        return damaged(r, "its directory does not end where the end record begins");
    if (r->count > r->directory_size / CENTRAL_SIZE)
        return damaged(r, "its directory is too small for the number of its entries");
    return DVK_OK;
}

/* ------------------------------------------------------------------------------------------------- entries */

/* 4.5.3: of the Zip64 extra field, those of size, compressed size and header place that are all ones elsewhere. */
static dvk_result read_zip64_extra(const reader *r, const uint8_t *extra, uint64_t length, uint64_t *values[3],
                                   const uint64_t limits[3]) {
    while (length >= 4) {
        uint64_t id = get(extra, 2), field = get(extra + 2, 2);
        if (field > length - 4)
            return damaged(r, "an extra field reaches beyond its header");
        if (id == 1) {
            const uint8_t *next = extra + 4;
            for (int i = 0; i < 3; i++) {
                if (*values[i] != limits[i])
                    continue;
                if (field < 8)
                    return damaged(r, "a Zip64 extra field is too short");
                *values[i] = get(next, 8);
                next += 8;
                field -= 8;
            }
            return DVK_OK;
        }
        extra += 4 + field;
        length -= 4 + field;
    }
    return DVK_OK;
}

/* The local header says the same as the directory, or, before a data descriptor, nothing. */
static dvk_result read_local(const reader *r, const uint8_t *central, uint64_t name_length, dvk_zip_entry *entry) {
    if (entry->header > r->directory || r->directory - entry->header < LOCAL_SIZE)
        return damaged(r, "an entry lies outside of the archive");
    const uint8_t *local = r->bytes + entry->header;
    const uint64_t room = r->directory - entry->header - LOCAL_SIZE, extra_length = get(local + 28, 2);
    const uint64_t flags = get(local + 6, 2);
    if (get(local, 4) != LOCAL_SIGNATURE)
        return damaged(r, "an entry does not begin where the directory says");
    if (get(local + 26, 2) != name_length || name_length + extra_length > room ||
        memcmp(local + LOCAL_SIZE, central + CENTRAL_SIZE, name_length) || flags != get(central + 8, 2) ||
        get(local + 8, 2) != get(central + 10, 2))
        return damaged(r, "the header of an entry contradicts the directory");
    uint64_t size = get(local + 22, 4), stored = get(local + 18, 4), unused = 0;
    const uint64_t crc = get(local + 14, 4), limits[3] = {0xffffffff, 0xffffffff, UINT64_MAX};
    dvk_result result = read_zip64_extra(r, local + LOCAL_SIZE + name_length, extra_length,
                                         (uint64_t *[]){&size, &stored, &unused}, limits);
    if (result != DVK_OK)
        return result;
    bool silent = (flags & FLAG_DESCRIPTOR) && !crc && !size && !stored;
    if (!silent && (crc != entry->crc || size != entry->size || stored != entry->size))
        return damaged(r, "the header of an entry contradicts the directory");
    if (entry->size > room - name_length - extra_length)
        return damaged(r, "an entry reaches into the directory");
    entry->data = local + LOCAL_SIZE + name_length + extra_length;
    return DVK_OK;
}

/* One header of the directory, at *place, which moves behind it. */
static dvk_result read_central(const reader *r, uint64_t *place, dvk_zip_entry *entry) {
    const uint64_t room = r->directory + r->directory_size - *place;
    const uint8_t *central = r->bytes + *place;
    if (room < CENTRAL_SIZE || get(central, 4) != CENTRAL_SIGNATURE)
        return damaged(r, "its directory has fewer entries than it claims");
    const uint64_t name = get(central + 28, 2), extra = get(central + 30, 2), comment = get(central + 32, 2);
    const uint64_t flags = get(central + 8, 2), method = get(central + 10, 2);
    if (name + extra + comment > room - CENTRAL_SIZE)
        return damaged(r, "an entry of its directory reaches beyond the directory");
    if (flags & (FLAG_ENCRYPTED | FLAG_STRONG_ENCRYPTION))
        return dvk_fail(r->error, DVK_ERROR_UNSUPPORTED, "%s is encrypted, which no torch file is", r->path);
    if (method != 0)
        return dvk_fail(r->error, DVK_ERROR_UNSUPPORTED,
                        "%s is compressed (method %u), expected the stored entries that torch.save writes; unpack it, "
                        "or save it again with torch",
                        r->path, (unsigned)method);
    if (get(central + 34, 2))
        return damaged(r, "the archive claims to span several disks");
    entry->crc = (uint32_t)get(central + 16, 4);
    entry->size = get(central + 24, 4);
    entry->header = get(central + 42, 4);
    uint64_t stored = get(central + 20, 4);
    static const uint64_t limits[3] = {0xffffffff, 0xffffffff, 0xffffffff};
    dvk_result result = read_zip64_extra(r, central + CENTRAL_SIZE + name, extra,
                                         (uint64_t *[]){&entry->size, &stored, &entry->header}, limits);
    if (result != DVK_OK)
        return result;
    if (stored != entry->size)
        return damaged(r, "a stored entry has two sizes");
    entry->name = (const char *)central + CENTRAL_SIZE;
    entry->name_length = (size_t)name;
    *place += CENTRAL_SIZE + name + extra + comment;
    return read_local(r, central, name, entry);
}

static int compare_headers(const void *a, const void *b, const void *context) {
    (void)context;
    const dvk_zip_entry *x = a, *y = b;
    return x->header < y->header ? -1 : x->header > y->header;
}

static int compare_texts(const char *a, size_t a_length, const char *b, size_t b_length) {
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order ? order : a_length < b_length ? -1 : a_length > b_length;
}

static int compare_entries(const void *a, const void *b, const void *context) {
    (void)context;
    const dvk_zip_entry *x = a, *y = b;
    return compare_texts(x->name, x->name_length, y->name, y->name_length);
}

/* Two headers that share their bytes, or their data, let a small archive stand for a huge one. */
static dvk_result check_overlap(const reader *r, dvk_zip *zip) {
    dvk_sort(zip->entries, zip->count, sizeof(dvk_zip_entry), compare_headers, NULL);
    for (size_t i = 1; i < zip->count; i++) {
        const dvk_zip_entry *before = &zip->entries[i - 1];
        uint64_t end = (uint64_t)(before->data - r->bytes) + before->size;
        if (zip->entries[i].header < end)
            return damaged(r, "two of its entries overlap");
    }
    return DVK_OK;
}

/* Cuts "ROOT/" off all names. */
static dvk_result enter_root(const reader *r, dvk_zip *zip) {
    const char *root = zip->entries[0].name;
    const char *slash = memchr(root, '/', zip->entries[0].name_length);
    size_t length = slash ? (size_t)(slash - root) + 1 : 0;
    for (size_t i = 0; i < zip->count; i++) {
        dvk_zip_entry *entry = &zip->entries[i];
        if (!length || entry->name_length < length || memcmp(entry->name, root, length))
            return dvk_fail(r->error, DVK_ERROR_BAD_FILE,
                            "%s is a ZIP archive, but no torch file: its entries do not lie in one folder", r->path);
        entry->name += length;
        entry->name_length -= length;
    }
    dvk_sort(zip->entries, zip->count, sizeof(dvk_zip_entry), compare_entries, NULL);
    for (size_t i = 1; i < zip->count; i++)
        if (!compare_entries(&zip->entries[i - 1], &zip->entries[i], NULL))
            return damaged(r, "two of its entries have the same name");
    return DVK_OK;
}

bool dvk_zip_detect(const void *bytes, size_t size) {
    return size >= 4 && get(bytes, 4) == LOCAL_SIGNATURE;
}

dvk_result dvk_zip_open(const dvk_allocator *allocator, const void *bytes, size_t size, const char *path, dvk_zip *zip,
                        dvk_error *error) {
    reader r = {.bytes = bytes, .size = size, .path = path, .error = error};
    dvk_result result = read_end(&r);
    if (result != DVK_OK)
        return result;
    if (r.count == 0)
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s is an empty archive, expected a torch file", path);
    if (r.count > SIZE_MAX / sizeof(dvk_zip_entry))
        return dvk_fail_memory(error, SIZE_MAX);
    dvk_zip opened = {allocator, dvk_allocate_zeroed(allocator, (size_t)r.count, sizeof(dvk_zip_entry)),
                      (size_t)r.count};
    if (!opened.entries)
        return dvk_fail_memory(error, opened.count * sizeof(dvk_zip_entry));
    uint64_t place = r.directory;
    for (size_t i = 0; i < opened.count && result == DVK_OK; i++)
        result = read_central(&r, &place, &opened.entries[i]);
    if (result == DVK_OK && place != r.directory + r.directory_size)
        result = damaged(&r, "its directory has more entries than it claims");
    if (result == DVK_OK)
        result = check_overlap(&r, &opened);
    if (result == DVK_OK)
        result = enter_root(&r, &opened);
    if (result == DVK_OK)
        *zip = opened;
    else
        dvk_zip_close(&opened);
    return result;
}

void dvk_zip_close(dvk_zip *zip) {
    dvk_release(zip->allocator, zip->entries);
    zip->entries = NULL;
    zip->count = 0;
}

const dvk_zip_entry *dvk_zip_find(const dvk_zip *zip, const char *name, size_t length) {
    size_t first = 0, last = zip->count;
    while (first < last) {
        size_t middle = first + (last - first) / 2;
        const dvk_zip_entry *entry = &zip->entries[middle];
        int order = compare_texts(name, length, entry->name, entry->name_length);
        if (order == 0)
            return entry;
        if (order < 0)
            last = middle;
        else
            first = middle + 1;
    }
    return NULL;
}

/* Four bits at a time: no table worth sharing, and fast enough for the kilobytes of a pickle. */
static uint32_t crc32_of(const uint8_t *bytes, uint64_t size) {
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = 0xffffffff;
    for (uint64_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

dvk_result dvk_zip_verify(const dvk_zip_entry *entry, const char *path, dvk_error *error) {
    uint32_t found = crc32_of(entry->data, entry->size);
    if (found == entry->crc)
        return DVK_OK;
    return dvk_fail(error, DVK_ERROR_BAD_FILE,
                    "%s: \"%.*s\" has the CRC-32 %08x, expected %08x: the file is damaged, download or copy it again",
                    path, (int)(entry->name_length < 80 ? entry->name_length : 80), entry->name, found, entry->crc);
}
