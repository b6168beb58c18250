#include "map_file.h"

#include <errno.h>
#include <string.h>

#ifdef _WIN32

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#define PATH_LIMIT 4096 /* UTF-16 units */

static bool to_wide(const char *path, wchar_t wide[PATH_LIMIT]) {
    return MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, PATH_LIMIT) > 0;
}

static DWORD attributes_of(const char *path) {
    wchar_t wide[PATH_LIMIT];
    return to_wide(path, wide) ? GetFileAttributesW(wide) : INVALID_FILE_ATTRIBUTES;
}

bool dvk_is_directory(const char *path) {
    DWORD attributes = attributes_of(path);
    return attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY);
}

bool dvk_file_exists(const char *path) {
    return attributes_of(path) != INVALID_FILE_ATTRIBUTES;
}

dvk_result dvk_map_file(const char *path, dvk_mapping *mapping, dvk_error *error) {
    wchar_t wide[PATH_LIMIT];
    if (!to_wide(path, wide))
        return dvk_fail(error, DVK_ERROR_IO, "cannot open %s: the path is too long or not UTF-8", path);
    HANDLE file = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
                              FILE_ATTRIBUTE_NORMAL, NULL);
    if (file == INVALID_HANDLE_VALUE)
        return dvk_fail(error, DVK_ERROR_IO, "cannot open %s: Windows error %lu", path, GetLastError());
    LARGE_INTEGER size;
    if (!GetFileSizeEx(file, &size) || (ULONGLONG)size.QuadPart > SIZE_MAX) {
        CloseHandle(file);
        return dvk_fail(error, DVK_ERROR_IO, "cannot map %s: its size is unknown or does not fit this process", path);
    }
    void *data = NULL;
    if (size.QuadPart > 0) {
        HANDLE section = CreateFileMappingW(file, NULL, PAGE_READONLY, 0, 0, NULL);
        if (section) {
            data = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
            CloseHandle(section);
        }
        if (!data) {
            DWORD code = GetLastError();
            CloseHandle(file);
            return dvk_fail(error, DVK_ERROR_IO, "cannot map %s: Windows error %lu", path, code);
        }
    }
    CloseHandle(file);
    mapping->data = data;
    mapping->size = (size_t)size.QuadPart;
    return DVK_OK;
}

void dvk_unmap_file(dvk_mapping *mapping) {
    if (mapping->data)
        UnmapViewOfFile(mapping->data);
    memset(mapping, 0, sizeof(*mapping));
}

#else

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool dvk_is_directory(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

bool dvk_file_exists(const char *path) {
    struct stat status;
    return stat(path, &status) == 0;
}

dvk_result dvk_map_file(const char *path, dvk_mapping *mapping, dvk_error *error) {
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block us before it is refused */
    if (file < 0)
        return dvk_fail(error, DVK_ERROR_IO, "cannot open %s: %s", path, strerror(errno));
    struct stat status;
    dvk_result result = DVK_OK;
    void *data = NULL;
    if (fstat(file, &status) != 0)
        result = dvk_fail(error, DVK_ERROR_IO, "cannot look at %s: %s", path, strerror(errno));
    else if (!S_ISREG(status.st_mode))
        result = dvk_fail(error, DVK_ERROR_IO, "cannot read %s: expected a file, found %s", path,
                          S_ISDIR(status.st_mode) ? "a directory" : "a device, pipe or socket");
    else if ((uintmax_t)status.st_size > SIZE_MAX)
        result = dvk_fail(error, DVK_ERROR_IO, "cannot map %s: %jd bytes do not fit this process's address space", path,
                          (intmax_t)status.st_size);
    else if (status.st_size > 0) {
        data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
        if (data == MAP_FAILED)
            result = dvk_fail(error, DVK_ERROR_IO, "cannot map %s: %s", path, strerror(errno));
    }
    close(file);
    if (result == DVK_OK) {
        mapping->data = data;
        mapping->size = (size_t)status.st_size;
    }
    return result;
}

void dvk_unmap_file(dvk_mapping *mapping) {
    if (mapping->data)
        munmap(mapping->data, mapping->size);
    memset(mapping, 0, sizeof(*mapping));
}

#endif
