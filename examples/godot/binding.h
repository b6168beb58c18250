/* One class with methods of whole numbers and texts, bound to Godot through the C interface that `godot --headless
 * --dump-gdextension-interface` writes. */
#ifndef BINDING_H_
#define BINDING_H_

#include "gdextension_interface.h"

#include <stddef.h>

enum { MAX_ARGUMENTS = 5 };

/* Arguments and the result lie as Godot's own types do: int64_t, String, PackedFloat32Array. The result is an
 * initialised value. */
typedef struct method {
    const char *name;
    void (*call)(void *instance, const GDExtensionConstTypePtr *arguments, GDExtensionTypePtr result);
    GDExtensionVariantType result;
    uint32_t argument_count;
    GDExtensionVariantType arguments[MAX_ARGUMENTS];
} method;

/* In class.c. */
extern const method class_methods[];
extern const size_t class_method_count;
void *class_create(void); /* NULL: no memory */
void class_destroy(void *instance);

/* At most `size` bytes with the NUL, cut off where it is longer. */
void read_string(GDExtensionConstTypePtr string, char *text, size_t size);
void write_string(GDExtensionTypePtr string, const char *text);
/* Makes room for `count` floats; NULL: no memory. */
float *write_floats(GDExtensionTypePtr array, int64_t count);

#endif
