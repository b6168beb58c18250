/* Text that comes from outside (file names, driver names), printed so that it can do no harm. */
#ifndef TEXT_H_
#define TEXT_H_

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Bytes of the well-formed UTF-8 sequence at `text` (Unicode 15, table 3-7), 0 if there is none. *code_point receives
 * what it stands for. `text` ends with a NUL, which is a sequence of one byte. */
size_t utf8_sequence(const char *text, uint32_t *code_point);

/* Prints for people: control characters (C0, DEL, C1) and bytes that are no UTF-8 become '?', so that a name can
 * neither break a line nor command a terminal. */
void print_plain(FILE *stream, const char *text);

/* Prints a JSON string with its quotes (RFC 8259, section 7). A byte that is no UTF-8 becomes U+FFFD, since JSON text
 * must be UTF-8. */
void print_json_string(FILE *stream, const char *text);

/* Prints a finite float with nine significant digits: enough to get the same float32 back from any correct reader. */
void print_json_float(FILE *stream, float value);

/* A duration with three or four significant digits and its unit. Returns `text`. */
char *format_ms(double ms, char text[24]);

/* A byte count in MB or GB of 10^6 and 10^9. Returns `text`. */
char *format_bytes(uint64_t bytes, char text[24]);

#endif
