#include "text.h"

size_t utf8_sequence(const char *text, uint32_t *code_point) {
    const unsigned char *byte = (const unsigned char *)text;
    if (byte[0] < 0x80) {
        *code_point = byte[0];
        return 1;
    }
    size_t length;
    uint32_t value, least;
    if (byte[0] >= 0xc2 && byte[0] <= 0xdf) {
        length = 2, value = byte[0] & 0x1fu, least = 0x80;
    } else if ((byte[0] & 0xf0) == 0xe0) {
        length = 3, value = byte[0] & 0x0fu, least = 0x800;
    } else if (byte[0] >= 0xf0 && byte[0] <= 0xf4) {
        length = 4, value = byte[0] & 0x07u, least = 0x10000;
    } else {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((byte[i] & 0xc0) != 0x80) /* also the NUL of a sequence that is cut off */
            return 0;
        value = value << 6 | (byte[i] & 0x3fu);
    }
    if (value < least || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *code_point = value;
    return length;
}

void print_plain(FILE *stream, const char *text) {
    while (*text) {
        uint32_t code_point;
        size_t length = utf8_sequence(text, &code_point);
        if (length == 0 || code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0))
            fputc('?', stream);
        else
            fwrite(text, 1, length, stream);
        text += length ? length : 1;
    }
}

void print_json_string(FILE *stream, const char *text) {
    fputc('"', stream);
    while (*text) {
        uint32_t code_point;
        size_t length = utf8_sequence(text, &code_point);
        if (length == 0)
            fputs("\\ufffd", stream);
        else if (code_point == '"' || code_point == '\\')
            fprintf(stream, "\\%c", (char)code_point);
        else if (code_point < 0x20 || code_point == 0x7f)
            fprintf(stream, "\\u%04x", (unsigned)code_point);
        else
            fwrite(text, 1, length, stream);
        text += length ? length : 1;
    }
    fputc('"', stream);
}

void print_json_float(FILE *stream, float value) {
    fprintf(stream, "%.9g", (double)value);
}

char *format_ms(double ms, char text[24]) {
    if (ms < 10.0)
        snprintf(text, 24, "%.2f ms", ms);
    else if (ms < 1000.0)
        snprintf(text, 24, "%.0f ms", ms);
    else
        snprintf(text, 24, "%.2f s", ms * 1e-3);
    return text;
}

char *format_bytes(uint64_t bytes, char text[24]) {
    if (bytes < 1000000000)
        snprintf(text, 24, "%.1f MB", (double)bytes * 1e-6);
    else
        snprintf(text, 24, "%.2f GB", (double)bytes * 1e-9);
    return text;
}
