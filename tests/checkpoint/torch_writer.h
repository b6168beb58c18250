/* Writes what torch.save() writes, byte for byte as far as a reader can tell, and variations of it. */
#ifndef TORCH_WRITER_H_
#define TORCH_WRITER_H_

#include "files.h"
#include "safetensors.h"

typedef struct zip_member {
    char name[64]; /* below the root folder */
    const void *bytes;
    size_t size;
} zip_member;

/* An archive like those of torch: stored, data descriptors, data padded to 64 bytes, a Zip64 end record always. */
blob make_zip(const char *root, const zip_member *members, size_t count);

/* A pickle that grows; what does not fit the test's patience aborts it. */
typedef struct pickle {
    uint8_t *bytes;
    size_t size, capacity;
    uint32_t memo;       /* the next free entry */
    uint32_t remembered; /* how many of `known` there are */
    struct {
        char text[64];
        uint32_t memo;
    } known[64];
} pickle;

void put_bytes(pickle *p, const void *bytes, size_t size);
void put_text(pickle *p, const char *text);  /* a new string, remembered by the memo */
void put_known(pickle *p, const char *text); /* a string that the memo holds from its second use on */
void put_integer(pickle *p, uint64_t integer);

typedef struct torch_options {
    const char *root;        /* NULL: "archive" */
    uint64_t first_key;      /* storages are named by numbers from here on; those of torch < 1.8 were addresses */
    const char *wrappers[3]; /* outermost first; NULL ends: {"teacher"} */
    bool training;           /* epoch, arguments and an optimizer beside the weights, as DINO's main_dino.py saves */
    bool parameters;         /* nn.Parameter around every tensor */
    bool byteorder;          /* as torch since 2.1 */
} torch_options;

blob make_torch(const dvk_tensor *tensors, size_t count, const torch_options *options);

#endif
