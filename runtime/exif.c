/* The orientation of a photograph, from EXIF 2.3 (CIPA DC-008) or XMP. Hostile bytes are the rule here: every offset is
 * checked against the size, and nothing is followed more than once. */
#include "image.h"

#include <string.h>

enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, TYPE_LONG = 4, ENTRY_BYTES = 12 };

static uint32_t read16(const uint8_t *p, bool big) {
    return big ? dvk_big16(p) : dvk_little16(p);
}

static uint32_t read32(const uint8_t *p, bool big) {
    return big ? dvk_big32(p) : dvk_little32(p);
}

int dvk_exif_orientation(const uint8_t *bytes, size_t size) {
    while (size >= 6 && !memcmp(bytes, "Exif\0\0", 6)) {
        bytes += 6;
        size -= 6;
    }
    if (size < 8)
        return 0;
    const bool big = !memcmp(bytes, "MM\0*", 4);
    if (!big && memcmp(bytes, "II*\0", 4))
        return 0;

    const uint32_t directory = read32(bytes + 4, big);
    if (directory > size - 2)
        return 0;
    const uint32_t entries = read16(bytes + directory, big);
    const uint8_t *entry = bytes + directory + 2;
    size_t left = size - directory - 2;
    for (uint32_t i = 0; i < entries && left >= ENTRY_BYTES; i++, entry += ENTRY_BYTES, left -= ENTRY_BYTES) {
        if (read16(entry, big) != TAG_ORIENTATION || read32(entry + 4, big) != 1)
            continue;
        const uint32_t type = read16(entry + 2, big);
        const uint32_t value = type == TYPE_SHORT  ? read16(entry + 8, big)
                               : type == TYPE_LONG ? read32(entry + 8, big)
                                                   : 0;
        return value >= 1 && value <= 8 ? (int)value : 1; /* a value that means nothing changes nothing */
    }
    return 0;
}

int dvk_xmp_orientation(const uint8_t *bytes, size_t size) {
    static const char key[] = "tiff:Orientation";
    const size_t length = sizeof(key) - 1;
    while (size > length) {
        const uint8_t *found = memchr(bytes, key[0], size - length);
        if (!found)
            break;
        const size_t left = size - (size_t)(found - bytes) - length;
        if (!memcmp(found, key, length)) {
            /* tiff:Orientation="6" or <tiff:Orientation>6< */
            const uint8_t *value = found + length;
            const size_t skip = left >= 3 && !memcmp(value, "=\"", 2) ? 2 : left >= 2 && value[0] == '>' ? 1 : 0;
            if (skip && value[skip] >= '1' && value[skip] <= '8')
                return value[skip] - '0';
        }
        size -= (size_t)(found - bytes) + 1;
        bytes = found + 1;
    }
    return 0;
}
