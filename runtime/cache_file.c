#include "cache_file.h"

#include "map_file.h"

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
 * driver it is of and sums up what it holds. Little-endian like every host that we run on; elsewhere the magic number
 * does not fit and the file is ignored. */
typedef struct cache_header {
    uint32_t magic, format;
    uint32_t vendor_id, device_id, driver_version, reserved;
    uint8_t device_uuid[VK_UUID_SIZE], driver_uuid[VK_UUID_SIZE];
    char library_version[16];
    uint64_t size, checksum; /* of the blob that follows */
} cache_header;

enum {
    CACHE_MAGIC = 0x504b5644, /* "DVKP" */
    CACHE_FORMAT = 1,
    CACHE_LIMIT = 256 << 20 /* a file larger than this is none of ours */
};

/* FNV-1a, 64 bits: enough against truncation and bit rot; an attacker who writes here owns the account anyway. */
static uint64_t checksum(const void *bytes, size_t size) {
    const uint8_t *byte = bytes;
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ byte[i]) * 0x100000001b3;
    return hash;
}

static cache_header make_header(const dvk_context *context, const void *blob, size_t size) {
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
    header.size = size;
    header.checksum = checksum(blob, size);
    return header;
}

/* The blob inside the mapped file, or NULL where the file is not what this device and library wrote. */
static const void *find_blob(const dvk_context *context, const dvk_mapping *file, size_t *size) {
    cache_header header;
    if (file->size < sizeof(header) || file->size - sizeof(header) > CACHE_LIMIT)
        return NULL;
    memcpy(&header, file->data, sizeof(header));
    const void *blob = (const uint8_t *)file->data + sizeof(header);
    *size = file->size - sizeof(header);
    cache_header expected = make_header(context, blob, *size);
    return memcmp(&header, &expected, sizeof(header)) == 0 ? blob : NULL;
}

static void make_directories(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)make_directory(path); /* it exists, or opening the file will fail and the cache is not written */
        *slash = '/';
    }
}

dvk_result dvk_pipeline_cache_open(dvk_context *context, const char *directory, dvk_error *error) {
    size_t size = 0;
    const void *blob = NULL;
    dvk_mapping file = {0};
    if (directory && *directory) {
        size_t capacity = strlen(directory) + 64;
        context->cache_path = dvk_allocate(&context->allocator, capacity);
        if (!context->cache_path)
            return dvk_fail_memory(error, capacity);
        int length = snprintf(context->cache_path, capacity, "%s/pipelines-", directory);
        for (unsigned i = 0; i < VK_UUID_SIZE; i++)
            length += snprintf(context->cache_path + length, capacity - (size_t)length, "%02x", context->info.uuid[i]);
        snprintf(context->cache_path + length, capacity - (size_t)length, ".bin");
        if (dvk_map_file(context->cache_path, &file, NULL) == DVK_OK)
            blob = find_blob(context, &file, &size);
        dvk_log_message(&context->log, DVK_LOG_INFO, "pipeline cache %s: %s", context->cache_path,
                        blob ? "read" : "nothing usable there");
    }
    VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
                                      .initialDataSize = blob ? size : 0,
                                      .pInitialData = blob};
    VkResult result =
        context->vk.vkCreatePipelineCache(context->device, &info, context->vulkan_allocator, &context->pipeline_cache);
    if (result != VK_SUCCESS && blob) {
        info.initialDataSize = 0;
        info.pInitialData = NULL;
        result = context->vk.vkCreatePipelineCache(context->device, &info, context->vulkan_allocator,
                                                   &context->pipeline_cache);
    } else if (blob) {
        context->cache_checksum = checksum(blob, size);
    }
    dvk_unmap_file(&file);
    return dvk_check_vulkan(result, "vkCreatePipelineCache", error);
}

/* Only a new file ("x"): whatever has this name already, another writer may be at work on it. */
static bool write_file(const char *path, const cache_header *header, const void *blob, size_t size) {
    FILE *file = fopen(path, "wbx");
    if (!file)
        return false;
    bool good = fwrite(header, sizeof(*header), 1, file) == 1 && fwrite(blob, 1, size, file) == size;
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

static bool save_file(const char *path, const char *temporary, const cache_header *header, const void *blob,
                      size_t size) {
    if (!write_file(temporary, header, blob, size))
        return false;
    if (replace_file(temporary, path))
        return true;
    int reason = errno;
    remove(temporary);
    errno = reason;
    return false;
}

void dvk_pipeline_cache_save(dvk_context *context) {
    /* Asking the driver costs a copy of the whole cache: not after every run. */
    if (!context->cache_path || !context->new_pipelines)
        return;
    context->new_pipelines = false;
    size_t size = 0;
    if (context->vk.vkGetPipelineCacheData(context->device, context->pipeline_cache, &size, NULL) != VK_SUCCESS)
        return;
    size_t path_size = strlen(context->cache_path) + 64;
    char *temporary = dvk_allocate(&context->allocator, path_size);
    void *blob = dvk_allocate(&context->allocator, size ? size : 1);
    if (!temporary || !blob ||
        context->vk.vkGetPipelineCacheData(context->device, context->pipeline_cache, &size, blob) != VK_SUCCESS) {
        dvk_release(&context->allocator, temporary);
        dvk_release(&context->allocator, blob);
        return;
    }
    cache_header header = make_header(context, blob, size);
    if (header.checksum != context->cache_checksum) {
        make_directories(context->cache_path);
        /* Of this process and context; should a name be taken all the same (by a process of another container, say),
         * then the file is the other's. The last one to rename wins. */
#ifdef _WIN32
        unsigned long process = GetCurrentProcessId();
#else
        unsigned long process = (unsigned long)getpid();
#endif
        snprintf(temporary, path_size, "%s.%lx-%p", context->cache_path, process, (void *)context);
        if (save_file(context->cache_path, temporary, &header, blob, size))
            context->cache_checksum = header.checksum;
        else
            dvk_log_message(&context->log, DVK_LOG_WARNING, "the pipeline cache %s cannot be written: %s",
                            context->cache_path, strerror(errno));
    }
    dvk_release(&context->allocator, temporary);
    dvk_release(&context->allocator, blob);
}
