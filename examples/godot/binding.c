#include "binding.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define CLASS "DinoVk"
#define VISIBLE __attribute__((visibility("default")))

/* As large as the largest of the types that methods take or give: PackedFloat32Array, on 64-bit machines. */
typedef struct value {
    uint64_t words[2];
} value;

static GDExtensionClassLibraryPtr library;
static value class_name, parent_name, no_name, no_text;

static struct {
    GDExtensionInterfaceStringNameNewWithLatin1Chars string_name;
    GDExtensionInterfaceStringNewWithUtf8Chars string;
    GDExtensionInterfaceStringToUtf8Chars string_bytes;
    GDExtensionInterfaceVariantGetPtrConstructor constructor;
    GDExtensionInterfaceVariantGetPtrDestructor destructor;
    GDExtensionInterfaceVariantGetPtrBuiltinMethod builtin_method;
    GDExtensionInterfaceGetVariantFromTypeConstructor to_variant;
    GDExtensionInterfaceGetVariantToTypeConstructor from_variant;
    GDExtensionInterfacePackedFloat32ArrayOperatorIndex float_at;
    GDExtensionInterfaceClassdbConstructObject2 construct;
    GDExtensionInterfaceObjectSetInstance set_instance;
    GDExtensionInterfaceClassdbRegisterExtensionClass4 register_class;
    GDExtensionInterfaceClassdbRegisterExtensionClassMethod register_method;
    GDExtensionInterfaceClassdbUnregisterExtensionClass unregister_class;
} godot;

/* Godot gives all of its functions one type, and compilers warn of casts between types of functions. */
static bool keep(GDExtensionInterfaceFunctionPtr found, void *member) {
    memcpy(member, &found, sizeof(found));
    return found != NULL;
}

static bool find_functions(GDExtensionInterfaceGetProcAddress find) {
#define FIND(member, name) keep(find(name), &godot.member)
    return FIND(string_name, "string_name_new_with_latin1_chars") && FIND(string, "string_new_with_utf8_chars") &&
           FIND(string_bytes, "string_to_utf8_chars") && FIND(constructor, "variant_get_ptr_constructor") &&
           FIND(destructor, "variant_get_ptr_destructor") && FIND(builtin_method, "variant_get_ptr_builtin_method") &&
           FIND(to_variant, "get_variant_from_type_constructor") &&
           FIND(from_variant, "get_variant_to_type_constructor") &&
           FIND(float_at, "packed_float32_array_operator_index") && FIND(construct, "classdb_construct_object2") &&
           FIND(set_instance, "object_set_instance") && FIND(register_class, "classdb_register_extension_class4") &&
           FIND(register_method, "classdb_register_extension_class_method") &&
           FIND(unregister_class, "classdb_unregister_extension_class");
#undef FIND
}

static void initialise(value *v, GDExtensionVariantType type) {
    *v = (value){{0}};
    if (type != GDEXTENSION_VARIANT_TYPE_INT)
        godot.constructor(type, 0)(v, NULL);
}

static void destroy(value *v, GDExtensionVariantType type) {
    if (type != GDEXTENSION_VARIANT_TYPE_INT)
        godot.destructor(type)(v);
}

void read_string(GDExtensionConstTypePtr string, char *text, size_t size) {
    const GDExtensionInt length = godot.string_bytes(string, text, (GDExtensionInt)size - 1);
    text[length < (GDExtensionInt)size ? (size_t)length : size - 1] = 0;
}

void write_string(GDExtensionTypePtr string, const char *text) {
    godot.destructor(GDEXTENSION_VARIANT_TYPE_STRING)(string);
    godot.string(string, text);
}

float *write_floats(GDExtensionTypePtr array, int64_t count) {
    /* The hash of extension_api.json, which stays as long as the method's signature does. */
    enum { RESIZE = 848867239 };
    value resize;
    int64_t failure = 0;
    godot.string_name(&resize, "resize", false);
    GDExtensionPtrBuiltInMethod call =
        godot.builtin_method(GDEXTENSION_VARIANT_TYPE_PACKED_FLOAT32_ARRAY, &resize, RESIZE);
    godot.destructor(GDEXTENSION_VARIANT_TYPE_STRING_NAME)(&resize);
    if (!call)
        return NULL;
    call(array, (const GDExtensionConstTypePtr[]){&count}, &failure, 1);
    return failure || count == 0 ? NULL : godot.float_at(array, 0);
}

/* ----------------------------------------------------------------------------------------------------- calls */

static void call_typed(void *userdata, GDExtensionClassInstancePtr instance, const GDExtensionConstTypePtr *arguments,
                       GDExtensionTypePtr result) {
    ((const method *)userdata)->call(instance, arguments, result);
}

static void call_untyped(void *userdata, GDExtensionClassInstancePtr instance,
                         const GDExtensionConstVariantPtr *arguments, GDExtensionInt count,
                         GDExtensionVariantPtr result, GDExtensionCallError *error) {
    const method *m = userdata;
    value values[MAX_ARGUMENTS], returned;
    GDExtensionConstTypePtr pointers[MAX_ARGUMENTS];
    error->error = GDEXTENSION_CALL_OK;
    if (count != m->argument_count) {
        error->error = count < m->argument_count ? GDEXTENSION_CALL_ERROR_TOO_FEW_ARGUMENTS
                                                 : GDEXTENSION_CALL_ERROR_TOO_MANY_ARGUMENTS;
        error->expected = (int32_t)m->argument_count;
        return;
    }
    for (uint32_t i = 0; i < m->argument_count; i++) {
        initialise(&values[i], m->arguments[i]);
        godot.from_variant(m->arguments[i])(&values[i], (GDExtensionVariantPtr)arguments[i]);
        pointers[i] = &values[i];
    }
    initialise(&returned, m->result);
    m->call(instance, pointers, &returned);
    godot.to_variant(m->result)(result, &returned);
    destroy(&returned, m->result);
    for (uint32_t i = 0; i < m->argument_count; i++)
        destroy(&values[i], m->arguments[i]);
}

/* ----------------------------------------------------------------------------------------------------- class */

static GDExtensionObjectPtr create_instance(void *userdata, GDExtensionBool notify) {
    (void)userdata, (void)notify;
    void *instance = class_create();
    if (!instance)
        return NULL;
    GDExtensionObjectPtr object = godot.construct(&parent_name);
    godot.set_instance(object, &class_name, instance);
    return object;
}

static void free_instance(void *userdata, GDExtensionClassInstancePtr instance) {
    (void)userdata;
    class_destroy(instance);
}

static GDExtensionPropertyInfo property(GDExtensionVariantType type) {
    return (GDExtensionPropertyInfo){.type = type,
                                     .name = &no_name,
                                     .class_name = &no_name,
                                     .hint_string = &no_text,
                                     .usage = 6}; /* PROPERTY_USAGE_DEFAULT */
}

static void register_method(const method *m) {
    value name;
    GDExtensionPropertyInfo result = property(m->result), arguments[MAX_ARGUMENTS];
    GDExtensionClassMethodArgumentMetadata metadata[MAX_ARGUMENTS] = {GDEXTENSION_METHOD_ARGUMENT_METADATA_NONE};
    for (uint32_t i = 0; i < m->argument_count; i++)
        arguments[i] = property(m->arguments[i]);
    godot.string_name(&name, m->name, false);
    const GDExtensionClassMethodInfo info = {.name = &name,
                                             .method_userdata = (void *)m,
                                             .call_func = call_untyped,
                                             .ptrcall_func = call_typed,
                                             .method_flags = GDEXTENSION_METHOD_FLAGS_DEFAULT,
                                             .has_return_value = true,
                                             .return_value_info = &result,
                                             .argument_count = m->argument_count,
                                             .arguments_info = arguments,
                                             .arguments_metadata = metadata};
    godot.register_method(library, &class_name, &info);
    godot.destructor(GDEXTENSION_VARIANT_TYPE_STRING_NAME)(&name);
}

static void start(void *userdata, GDExtensionInitializationLevel level) {
    (void)userdata;
    if (level != GDEXTENSION_INITIALIZATION_SCENE)
        return;
    godot.string_name(&class_name, CLASS, false);
    godot.string_name(&parent_name, "RefCounted", false);
    godot.string_name(&no_name, "", false);
    godot.string(&no_text, "");
    const GDExtensionClassCreationInfo4 info = {
        .is_exposed = true, .create_instance_func = create_instance, .free_instance_func = free_instance};
    godot.register_class(library, &class_name, &parent_name, &info);
    for (size_t i = 0; i < class_method_count; i++)
        register_method(&class_methods[i]);
}

static void stop(void *userdata, GDExtensionInitializationLevel level) {
    (void)userdata;
    if (level != GDEXTENSION_INITIALIZATION_SCENE)
        return;
    godot.unregister_class(library, &class_name);
    godot.destructor(GDEXTENSION_VARIANT_TYPE_STRING)(&no_text);
    value *const names[] = {&class_name, &parent_name, &no_name};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        godot.destructor(GDEXTENSION_VARIANT_TYPE_STRING_NAME)(names[i]);
}

VISIBLE GDExtensionBool dino_vk_godot_init(GDExtensionInterfaceGetProcAddress find, GDExtensionClassLibraryPtr self,
                                           GDExtensionInitialization *initialization);

GDExtensionBool dino_vk_godot_init(GDExtensionInterfaceGetProcAddress find, GDExtensionClassLibraryPtr self,
                                   GDExtensionInitialization *initialization) {
    library = self;
    initialization->minimum_initialization_level = GDEXTENSION_INITIALIZATION_SCENE;
    initialization->initialize = start;
    initialization->deinitialize = stop;
    return find_functions(find);
}
