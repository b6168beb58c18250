#include "cache_file.h"

#include "hash.h"
#include "map_file.h"
#include "memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#ifdef _WIN32
#include <direct.h>
#include <windows.h>
#define make_directory(path) _mkdir(path)
#else
#include <unistd.h>
#define make_directory(path) mkdir(path, 0700)
#endif

/* Drivers check their own blobs poorly (ncnn's bug_corrupted_online_pipeline_cache, for one), so the file says which
 * driver and which build it is of and sums up what it holds. Little-endian like every host that we run on; elsewhere
 * the magic number does not fit and the file is ignored. */
typedef struct cache_header {
    uint32_t magic, format;
    uint32_t vendor_id, device_id, driver_version, reserved;
    uint8_t device_uuid[VK_UUID_SIZE], driver_uuid[VK_UUID_SIZE];
    char library_version[16];
    uint64_t build_id;       /* of the variants */
    uint64_t size, checksum; /* of the sections that follow */
} cache_header;

/* A section in the file; its bytes follow, and zeros up to a multiple of 8. */
typedef struct section_header {
    uint32_t tag, reserved;
    uint64_t size;
} section_header;

struct dvk_cache_section {
    dvk_cache_section *next;
    uint32_t tag;
    size_t size;
    void *bytes;
};

enum {
    CACHE_MAGIC = 0x434b5644, /* "DVKC" */
    CACHE_FORMAT = 2,
    CACHE_LIMIT = 256 << 20 /* a file larger than this is none of ours */
};

static size_t padded(size_t size) {
    return (size + 7) / 8 * 8;
}

/* ---------------------------------------------------------------------------------------------- sections */

static dvk_cache_section *find_section(const dvk_context *context, uint32_t tag) {
    dvk_cache_section *section = context->cache_sections;
    while (section && section->tag != tag)
        section = section->next;
    return section;
}

const void *dvk_cache_get_section(const dvk_context *context, uint32_t tag, size_t *size) {
    const dvk_cache_section *section = find_section(context, tag);
    *size = section ? section->size : 0;
    return section ? section->bytes : NULL;
}

static bool set_section(dvk_context *context, uint32_t tag, const void *bytes, size_t size) {
    dvk_cache_section *section = find_section(context, tag);
    if (!section) {
        dvk_cache_section **last = &context->cache_sections;
        while (*last)
            last = &(*last)->next;
        *last = section = dvk_allocate_zeroed(&context->allocator, 1, sizeof(*section));
        if (!section)
            return false;
        section->tag = tag;
    }
    void *copy = dvk_allocate(&context->allocator, size);
    dvk_release(&context->allocator, section->bytes);
    section->bytes = copy;
    section->size = copy ? size : 0;
    if (copy && size)
        memcpy(copy, bytes, size);
    return copy != NULL;
}

bool dvk_cache_put_section(dvk_context *context, uint32_t tag, const void *bytes, size_t size) {
    context->cache_changed = true;
    return set_section(context, tag, bytes, size);
}

/* ---------------------------------------------------------------------------------------------- reading */

static cache_header make_header(const dvk_context *context, const void *sections, size_t size) {
    cache_header header;
    memset(&header, 0, sizeof(header));
    header.magic = CACHE_MAGIC;
    header.format = CACHE_FORMAT;
    header.vendor_id = context->info.vendor_id;
    header.device_id = context->info.device_id;
    header.driver_version = context->driver_version;
    memcpy(header.device_uuid, context->info.uuid, VK_UUID_SIZE);
    memcpy(header.driver_uuid, context->driver_uuid, VK_UUID_SIZE);
    snprintf(header.library_version, sizeof(header.library_version), "%s", dvk_version());
    header.build_id = context->build_id;
    header.size = size;
    header.checksum = dvk_hash(DVK_HASH_START, sections, size);
    return header;
}

/* The sections inside the mapped file, or NULL where the file is not what this device and build wrote. */
static const uint8_t *find_sections(const dvk_context *context, const dvk_mapping *file, size_t *size) {
    cache_header header;
    if (file->size < sizeof(header) || file->size - sizeof(header) > CACHE_LIMIT)
        return NULL;
    memcpy(&header, file->data, sizeof(header));
    const uint8_t *sections = (const uint8_t *)file->data + sizeof(header);
    *size = file->size - sizeof(header);
    cache_header expected = make_header(context, sections, *size);
    return memcmp(&header, &expected, sizeof(header)) == 0 ? sections : NULL;
}

/* Notes the sections; *blob is the pipelines' in the file itself. False: the file contradicts itself. */
static bool read_sections(dvk_context *context, const uint8_t *at, size_t left, const void **blob, size_t *blob_size) {
    while (left) {
        section_header header;
        if (left < sizeof(header))
            return false;
        memcpy(&header, at, sizeof(header));
        at += sizeof(header);
        left -= sizeof(header);
        if (header.size > left || padded((size_t)header.size) > left)
            return false;
        if (header.tag == DVK_CACHE_PIPELINES) {
            *blob = at;
            *blob_size = (size_t)header.size;
        } else if (!set_section(context, header.tag, at, (size_t)header.size)) {
            return false;
        }
        at += padded((size_t)header.size);
        left -= padded((size_t)header.size);
    }
    return true;
}

static void free_sections(dvk_context *context) {
    while (context->cache_sections) {
        dvk_cache_section *next = context->cache_sections->next;
        dvk_release(&context->allocator, context->cache_sections->bytes);
        dvk_release(&context->allocator, context->cache_sections);
        context->cache_sections = next;
    }
}

static void make_directories(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)make_directory(path); /* it exists, or opening the file will fail and the cache is not written */
        *slash = '/';
    }
}

static dvk_result make_path(dvk_context *context, const char *directory, dvk_error *error) {
    size_t capacity = strlen(directory) + 64;
    context->cache_path = dvk_allocate(&context->allocator, capacity);
    if (!context->cache_path)
        return dvk_fail_memory(error, capacity);
    int length = snprintf(context->cache_path, capacity, "%s/device-", directory);
    for (unsigned i = 0; i < VK_UUID_SIZE; i++)
        length += snprintf(context->cache_path + length, capacity - (size_t)length, "%02x", context->info.uuid[i]);
    snprintf(context->cache_path + length, capacity - (size_t)length, ".bin");
    return DVK_OK;
}

static dvk_result create_pipeline_cache(dvk_context *context, const void *blob, size_t size, dvk_error *error) {
    VkPipelineCacheCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO, .initialDataSize = size, .pInitialData = blob};
    VkResult result =
        context->vk.vkCreatePipelineCache(context->device, &info, context->vulkan_allocator, &context->pipeline_cache);
    if (result != VK_SUCCESS && size) {
        info.initialDataSize = 0;
        info.pInitialData = NULL;
        result = context->vk.vkCreatePipelineCache(context->device, &info, context->vulkan_allocator,
                                                   &context->pipeline_cache);
    }
    return dvk_check_vulkan(result, "vkCreatePipelineCache", error);
}

dvk_result dvk_cache_open(dvk_context *context, const char *directory, dvk_error *error) {
    size_t size = 0, blob_size = 0;
    const void *blob = NULL;
    dvk_mapping file = {0};
    if (directory && *directory) {
        dvk_result status = make_path(context, directory, error);
        if (status != DVK_OK)
            return status;
        const uint8_t *sections = NULL;
        if (dvk_map_file(context->cache_path, &file, NULL) == DVK_OK)
            sections = find_sections(context, &file, &size);
        if (sections && read_sections(context, sections, size, &blob, &blob_size)) {
            context->cache_checksum = dvk_hash(DVK_HASH_START, sections, size);
        } else {
            free_sections(context);
            blob = NULL;
            blob_size = 0;
        }
        dvk_log_message(&context->log, DVK_LOG_INFO, "cache %s: %s", context->cache_path,
                        context->cache_checksum ? "read" : "nothing usable there");
    }
    dvk_result status = DVK_OK;
    if (!context->host_pipeline_cache)
        status = create_pipeline_cache(context, blob, blob_size, error);
    dvk_unmap_file(&file);
    return status;
}

void dvk_cache_close(dvk_context *context) {
    free_sections(context);
    dvk_release(&context->allocator, context->cache_path);
    context->cache_path = NULL;
}

/* ---------------------------------------------------------------------------------------------- writing */

/* Only a new file ("x"): whatever has this name already, another writer may be at work on it. */
static bool write_file(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wbx");
    if (!file)
        return false;
    bool good = fwrite(bytes, 1, size, file) == size;
    good &= fflush(file) == 0;
#ifndef _WIN32
    good = good && fsync(fileno(file)) == 0;
#endif
    good &= fclose(file) == 0;
    if (!good) {
        int reason = errno;
        remove(path);
        errno = reason;
    }
    return good;
}

static bool replace_file(const char *from, const char *to) {
#ifdef _WIN32
    return MoveFileExA(from, to, MOVEFILE_REPLACE_EXISTING) != 0;
#else
    return rename(from, to) == 0;
#endif
}

static bool save_file(const char *path, const char *temporary, const void *bytes, size_t size) {
    if (!write_file(temporary, bytes, size))
        return false;
    if (replace_file(temporary, path))
        return true;
    int reason = errno;
    remove(temporary);
    errno = reason;
    return false;
}

static uint8_t *append_section(uint8_t *at, uint32_t tag, const void *bytes, size_t size) {
    const section_header header = {.tag = tag, .size = size};
    memcpy(at, &header, sizeof(header));
    if (bytes && size) /* else they are there already */
        memcpy(at + sizeof(header), bytes, size);
    memset(at + sizeof(header) + size, 0, padded(size) - size);
    return at + sizeof(header) + padded(size);
}

/* The whole file, to be released; NULL: no memory, or the driver does not give its pipelines away. */
static uint8_t *make_file(const dvk_context *context, size_t *size) {
    const VkPipelineCache cache = context->host_pipeline_cache ? VK_NULL_HANDLE : context->pipeline_cache;
    size_t blob_size = 0;
    if (cache && context->vk.vkGetPipelineCacheData(context->device, cache, &blob_size, NULL) != VK_SUCCESS)
        return NULL;
    *size = sizeof(cache_header) + sizeof(section_header) + padded(blob_size);
    for (const dvk_cache_section *section = context->cache_sections; section; section = section->next)
        *size += sizeof(section_header) + padded(section->size);
    uint8_t *file = dvk_allocate(&context->allocator, *size);
    if (!file)
        return NULL;
    uint8_t *at = file + sizeof(cache_header);
    for (const dvk_cache_section *section = context->cache_sections; section; section = section->next)
        at = append_section(at, section->tag, section->bytes, section->size);
    if (cache && context->vk.vkGetPipelineCacheData(context->device, cache, &blob_size, at + sizeof(section_header)) !=
                     VK_SUCCESS) {
        dvk_release(&context->allocator, file);
        return NULL;
    }
    at = append_section(at, DVK_CACHE_PIPELINES, NULL, blob_size);
    *size = (size_t)(at - file); /* the blob may have become smaller */
    cache_header header = make_header(context, file + sizeof(header), *size - sizeof(header));
    memcpy(file, &header, sizeof(header));
    return file;
}

void dvk_cache_save(dvk_context *context) {
    /* Asking the driver costs a copy of the whole cache: not after every run. */
    if (!context->cache_path || !(context->new_pipelines || context->cache_changed))
        return;
    context->new_pipelines = context->cache_changed = false;
    size_t size = 0, path_size = strlen(context->cache_path) + 64;
    char *temporary = dvk_allocate(&context->allocator, path_size);
    uint8_t *file = make_file(context, &size);
    cache_header header = {0};
    if (temporary && file)
        memcpy(&header, file, sizeof(header));
    if (temporary && file && header.checksum != context->cache_checksum) {
        make_directories(context->cache_path);
        /* Of this process and context; should a name be taken all the same (by a process of another container, say),
         * then the file is the other's. The last one to rename wins. */
#ifdef _WIN32
        unsigned long process = GetCurrentProcessId();
#else
        unsigned long process = (unsigned long)getpid();
#endif
        snprintf(temporary, path_size, "%s.%lx-%p", context->cache_path, process, (void *)context);
        if (save_file(context->cache_path, temporary, file, size))
            context->cache_checksum = header.checksum;
        else
            dvk_log_message(&context->log, DVK_LOG_WARNING, "the cache %s cannot be written: %s", context->cache_path,
                            strerror(errno));
    }
    dvk_release(&context->allocator, temporary);
    dvk_release(&context->allocator, file);
}
