#define TEST_OF_SEVERAL_FILES
#include "torch_writer.h"

/* -------------------------------------------------------------------------------------------------- pickle */

void put_bytes(pickle *p, const void *bytes, size_t size) {
    if (p->size + size > p->capacity) {
        p->capacity = (p->size + size) * 2;
        p->bytes = realloc(p->bytes, p->capacity);
        REQUIRE(p->bytes);
    }
    memcpy(p->bytes + p->size, bytes, size);
    p->size += size;
}

static void put(pickle *p, const char *opcodes) {
    put_bytes(p, opcodes, strlen(opcodes));
}

static void put_number(pickle *p, uint64_t number, int bytes) {
    uint8_t little[8];
    for (int i = 0; i < bytes; i++)
        little[i] = (uint8_t)(number >> (8 * i));
    put_bytes(p, little, (size_t)bytes);
}

static void put_index(pickle *p, char short_opcode, char long_opcode, uint32_t index) {
    put_bytes(p, index < 256 ? &short_opcode : &long_opcode, 1);
    put_number(p, index, index < 256 ? 1 : 4);
}

static void remember(pickle *p) {
    put_index(p, 'q', 'r', p->memo++);
}

void put_text(pickle *p, const char *text) {
    put(p, "X");
    put_number(p, strlen(text), 4);
    put(p, text);
    remember(p);
}

/* Gets from the memo what was put before; true on first use, after which the caller writes and calls remember(). */
static bool is_new(pickle *p, const char *text) {
    for (uint32_t i = 0; i < p->remembered; i++)
        if (!strcmp(p->known[i].text, text)) {
            put_index(p, 'h', 'j', p->known[i].memo);
            return false;
        }
    REQUIRE(p->remembered < 64);
    snprintf(p->known[p->remembered].text, sizeof(p->known[0].text), "%s", text);
    p->known[p->remembered++].memo = p->memo;
    return true;
}

void put_known(pickle *p, const char *text) {
    if (is_new(p, text))
        put_text(p, text);
}

static void put_global(pickle *p, const char *lines) {
    if (is_new(p, lines)) {
        put(p, "c");
        put(p, lines);
        remember(p);
    }
}

void put_integer(pickle *p, uint64_t integer) {
    if (integer < 256) {
        put(p, "K");
        put_number(p, integer, 1);
    } else if (integer < 65536) {
        put(p, "M");
        put_number(p, integer, 2);
    } else if (integer < 0x80000000u) {
        put(p, "J");
        put_number(p, integer, 4);
    } else {
        put(p, "\x8a\x08");
        put_number(p, integer, 8);
    }
}

static void put_tuple(pickle *p, const uint64_t *items, uint32_t count) {
    if (count > 3)
        put(p, "(");
    for (uint32_t i = 0; i < count; i++)
        put_integer(p, items[i]);
    put(p, count == 0 ? ")" : count == 1 ? "\x85" : count == 2 ? "\x86" : count == 3 ? "\x87" : "t");
    if (count)
        remember(p);
}

static void put_ordered_dict(pickle *p) {
    put_global(p, "collections\nOrderedDict\n");
    put(p, ")R");
    remember(p);
}

static const char *storage_of(const dvk_tensor *tensor) {
    static const char *const names[][2] = {
        {"F32", "torch\nFloatStorage\n"},  {"F16", "torch\nHalfStorage\n"}, {"BF16", "torch\nBFloat16Storage\n"},
        {"F64", "torch\nDoubleStorage\n"}, {"I64", "torch\nLongStorage\n"}, {"I32", "torch\nIntStorage\n"},
        {"BOOL", "torch\nBoolStorage\n"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (!strcmp(names[i][0], tensor->dtype_name))
            return names[i][1];
    REQUIRE(!"a type that torch has");
    return NULL;
}

static void put_tensor(pickle *p, const dvk_tensor *tensor, const char *key, bool parameter) {
    uint64_t strides[DVK_MAX_RANK], step = 1;
    for (uint32_t i = tensor->rank; i-- > 0; step *= tensor->shape[i])
        strides[i] = step;
    if (parameter)
        put_global(p, "torch._utils\n_rebuild_parameter\n");
    put_global(p, "torch._utils\n_rebuild_tensor_v2\n");
    put(p, "((");
    put_known(p, "storage");
    put_global(p, storage_of(tensor));
    put_text(p, key);
    put_known(p, "cpu");
    put_integer(p, tensor->elements);
    put(p, "t");
    remember(p);
    put(p, "Q");
    put_integer(p, 0);
    put_tuple(p, tensor->shape, tensor->rank);
    put_tuple(p, strides, tensor->rank);
    put(p, "\x89");
    put_ordered_dict(p);
    put(p, "t");
    remember(p);
    put(p, "R");
    remember(p);
    if (parameter) {
        put(p, "\x88");
        put_ordered_dict(p);
        put(p, "\x87");
        remember(p);
        put(p, "R");
        remember(p);
    }
}

/* What stands beside the weights in DINO's training checkpoints: numbers, lists, and argparse's namespace. */
static void put_training(pickle *p) {
    put_text(p, "epoch");
    put_integer(p, 800);
    put_text(p, "args");
    put_global(p, "argparse\nNamespace\n");
    put(p, ")\x81");
    remember(p);
    put(p, "}");
    remember(p);
    put(p, "(");
    put_text(p, "arch");
    put_text(p, "vit_small");
    put_text(p, "lr");
    put_bytes(p, "G\x3f\x40\x62\x4d\xd2\xf1\xa9\xfc", 9); /* 0.0005 */
    put_text(p, "local_crops_scale");
    put_bytes(p, "G\x3f\xa9\x99\x99\x99\x99\x99\x9aG\x3f\xd9\x99\x99\x99\x99\x99\x9a\x86", 19);
    put_text(p, "dist_url");
    put(p, "N");
    put_text(p, "seed");
    put_bytes(p, "\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01", 11); /* 2^64 */
    put(p, "ub");
    put_text(p, "optimizer");
    put(p, "}");
    remember(p);
    put(p, "(");
    put_text(p, "param_groups");
    put(p, "]");
    remember(p);
    put(p, "(K\x01K\x02J\xff\xff\xff\xff\x65u"); /* [1, 2, -1] */
}

/* --------------------------------------------------------------------------------------------------- ZIP */

static uint32_t crc32_of(const uint8_t *bytes, size_t size) {
    static uint32_t table[256];
    if (!table[1])
        for (uint32_t i = 0; i < 256; i++) {
            table[i] = i;
            for (int k = 0; k < 8; k++)
                table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320 : 0);
        }
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++)
        crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 255];
    return ~crc;
}

blob make_zip(const char *root, const zip_member *members, size_t count) {
    pickle out = {0}, directory = {0}; /* as growing bytes */
    for (size_t i = 0; i < count; i++) {
        char name[128];
        const size_t length = (size_t)snprintf(name, sizeof(name), "%s/%s", root, members[i].name);
        const uint32_t crc = crc32_of(members[i].bytes, members[i].size);
        const size_t header = out.size, unpadded = header + 30 + length + 4, padding = (64 - unpadded % 64) % 64;
        put_number(&out, 0x04034b50, 4);
        put_number(&out, 0x08080000, 4); /* version 0, flags: descriptor, UTF-8 */
        put_number(&out, 0, 8);          /* stored, no time, no CRC yet */
        put_number(&out, 0, 8);
        put_number(&out, 0, 2);
        put_number(&out, length, 2);
        put_number(&out, 4 + padding, 2);
        put_bytes(&out, name, length);
        put(&out, "FB");
        put_number(&out, padding, 2);
        for (size_t k = 0; k < padding; k++)
            put(&out, "Z");
        put_bytes(&out, members[i].bytes, members[i].size);
        put_number(&out, 0x08074b50, 4);
        put_number(&out, crc, 4);
        put_number(&out, members[i].size, 4);
        put_number(&out, members[i].size, 4);
        put_number(&directory, 0x02014b50, 4);
        put_number(&directory, 0, 4);
        put_number(&directory, 0x0808, 4);
        put_number(&directory, 0, 4);
        put_number(&directory, crc, 4);
        put_number(&directory, members[i].size, 4);
        put_number(&directory, members[i].size, 4);
        put_number(&directory, length, 2);
        put_number(&directory, 0, 8);
        put_number(&directory, 0, 4);
        put_number(&directory, header, 4);
        put_bytes(&directory, name, length);
    }
    const size_t place = out.size;
    if (directory.size)
        put_bytes(&out, directory.bytes, directory.size);
    const size_t end64 = out.size;
    put_number(&out, 0x06064b50, 4);
    put_number(&out, 44, 8);
    put_number(&out, 0x002d031e, 4);
    put_number(&out, 0, 8);
    put_number(&out, count, 8);
    put_number(&out, count, 8);
    put_number(&out, directory.size, 8);
    put_number(&out, place, 8);
    put_number(&out, 0x07064b50, 4);
    put_number(&out, 0, 4);
    put_number(&out, end64, 8);
    put_number(&out, 1, 4);
    put_number(&out, 0x06054b50, 4);
    put_number(&out, 0, 4);
    put_number(&out, count, 2);
    put_number(&out, count, 2);
    put_number(&out, directory.size, 4);
    put_number(&out, place, 4);
    put_number(&out, 0, 2);
    free(directory.bytes);
    /* Exactly as large as that, so that a sanitizer sees any read beyond it. */
    blob result = {malloc(out.size), out.size};
    REQUIRE(result.bytes);
    memcpy(result.bytes, out.bytes, out.size);
    free(out.bytes);
    return result;
}

/* ------------------------------------------------------------------------------------------------- archive */

blob make_torch(const dvk_tensor *tensors, size_t count, const torch_options *options) {
    pickle p = {0};
    int depth = 0;
    put(&p, "\x80\x02");
    for (; depth < 3 && options->wrappers[depth]; depth++) {
        put(&p, "}");
        remember(&p);
        put(&p, "(");
        if (options->training && depth == 0)
            put_training(&p);
        put_text(&p, options->wrappers[depth]);
    }
    put_ordered_dict(&p);
    put(&p, "(");
    zip_member *members = calloc(count + 3, sizeof(*members));
    REQUIRE(members);
    size_t used = 1;
    for (size_t i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof(key), "%llu", (unsigned long long)(options->first_key + i));
        put_text(&p, tensors[i].name);
        put_tensor(&p, &tensors[i], key, options->parameters);
        snprintf(members[used].name, sizeof(members[used].name), "data/%s", key);
        members[used].bytes = tensors[i].data;
        members[used++].size = (size_t)tensors[i].bytes;
    }
    put(&p, "u");
    put(&p, "}");
    remember(&p);
    put_text(&p, "_metadata");
    put_ordered_dict(&p);
    put(&p, "sb");
    while (depth-- > 0)
        put(&p, "u");
    put(&p, ".");
    snprintf(members[0].name, sizeof(members[0].name), "data.pkl");
    members[0].bytes = p.bytes;
    members[0].size = p.size;
    members[used++] = (zip_member){"version", "3\n", 2};
    if (options->byteorder)
        members[used++] = (zip_member){"byteorder", "little", 6};
    blob result = make_zip(options->root ? options->root : "archive", members, used);
    free(members);
    free(p.bytes);
    return result;
}
