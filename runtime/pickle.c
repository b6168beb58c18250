/* The opcodes are those of CPython's Lib/pickletools.py, which is the format's specification. A loop over opcodes with
 * a stack of its own: nothing here recurses, and every opcode costs a bounded amount of memory, so that the pickle's
 * size bounds the reader's. */
#include "pickle.h"

#include <stdio.h>
#include <string.h>

#include "json.h"

/* The largest pickles of ViT training checkpoints have some 300 KB; memory is at most some 64 times of the limit (one
 * empty tuple a byte). */
#define PICKLE_LIMIT (4u << 20) /* bytes */
#define MEMO_LIMIT (1u << 20)   /* entries */

enum {
    OP_MARK = '(',
    OP_EMPTY_TUPLE = ')',
    OP_STOP = '.',
    OP_POP = '0',
    OP_POP_MARK = '1',
    OP_DUP = '2',
    OP_BINBYTES = 'B',
    OP_SHORT_BINBYTES = 'C',
    OP_BINFLOAT = 'G',
    OP_BININT = 'J',
    OP_BININT1 = 'K',
    OP_BININT2 = 'M',
    OP_NONE = 'N',
    OP_BINPERSID = 'Q',
    OP_REDUCE = 'R',
    OP_BINSTRING = 'T',
    OP_SHORT_BINSTRING = 'U',
    OP_BINUNICODE = 'X',
    OP_EMPTY_LIST = ']',
    OP_APPEND = 'a',
    OP_BUILD = 'b',
    OP_GLOBAL = 'c',
    OP_DICT = 'd',
    OP_APPENDS = 'e',
    OP_BINGET = 'h',
    OP_INST = 'i',
    OP_LONG_BINGET = 'j',
    OP_LIST = 'l',
    OP_BINPUT = 'q',
    OP_LONG_BINPUT = 'r',
    OP_SETITEM = 's',
    OP_TUPLE = 't',
    OP_SETITEMS = 'u',
    OP_EMPTY_DICT = '}',
    OP_PROTO = 0x80,
    OP_NEWOBJ = 0x81,
    OP_TUPLE1 = 0x85,
    OP_TUPLE2 = 0x86,
    OP_TUPLE3 = 0x87,
    OP_NEWTRUE = 0x88,
    OP_NEWFALSE = 0x89,
    OP_LONG1 = 0x8a,
    OP_LONG4 = 0x8b,
    OP_SHORT_BINUNICODE = 0x8c,
    OP_BINUNICODE8 = 0x8d,
    OP_BINBYTES8 = 0x8e,
    OP_STACK_GLOBAL = 0x93,
    OP_MEMOIZE = 0x94,
    OP_FRAME = 0x95,
};

typedef struct values {
    dvk_pickle_value *items;
    uint32_t count, capacity;
} values;

typedef struct machine {
    const dvk_allocator *allocator;
    const uint8_t *next, *start, *end;
    const dvk_pickle_global *globals;
    size_t global_count;
    values stack;
    values memo;  /* an entry that was never put is a mark */
    values marks; /* integers: how high the stack was */
    dvk_pickle_object *objects;
    const char *path;
    dvk_result result;
    dvk_error *error;
} machine;

/* The functions below return false after they have said why in m->result and m->error. */

static bool damaged(machine *m, const char *what) {
    m->result = dvk_fail(m->error, DVK_ERROR_BAD_FILE, "%s: the pickle is damaged before its byte %zu: %s", m->path,
                         (size_t)(m->next - m->start), what);
    return false;
}

static bool refuse_global(machine *m, const char *module, size_t module_length, const char *name, size_t name_length) {
    char text[160];
    size_t first = module_length < 64 ? module_length : 64, second = name_length < 64 ? name_length : 64;
    memcpy(text, module, first);
    text[first] = '.';
    memcpy(text + first + 1, name, second);
    text[first + 1 + second] = '\0';
    for (size_t i = 0; i < first + second + 1; i++)
        if ((uint8_t)text[i] >= 0x7f) /* may be anything but text */
            text[i] = '?';
    m->result = dvk_fail(m->error, DVK_ERROR_UNSUPPORTED,
                         "%s: refuses to execute %s, which stands in the file: only tensors in plain dictionaries "
                         "(a state_dict) are read; do not load the file elsewhere unless you trust its source",
                         m->path, dvk_quote(text).text);
    return false;
}

/* ------------------------------------------------------------------------------------------------- memory */

static bool reserve(machine *m, values *list, uint32_t count) {
    if (count <= list->capacity)
        return true;
    uint32_t capacity = list->capacity ? list->capacity : 16;
    while (capacity < count)
        capacity *= 2; /* far from overflow: counts are bounded by PICKLE_LIMIT */
    dvk_pickle_value *items =
        dvk_reallocate(m->allocator, list->items, list->count * sizeof(*items), capacity * sizeof(*items));
    if (!items) {
        m->result = dvk_fail_memory(m->error, capacity * sizeof(*items));
        return false;
    }
    list->items = items;
    list->capacity = capacity;
    return true;
}

static bool push_to(machine *m, values *list, dvk_pickle_value value) {
    if (!reserve(m, list, list->count + 1))
        return false;
    list->items[list->count++] = value;
    return true;
}

static bool push(machine *m, dvk_pickle_value value) {
    return push_to(m, &m->stack, value);
}

/* The values above the last mark, of which the stack must keep what lies below. */
static uint32_t stack_floor(const machine *m) {
    return m->marks.count ? (uint32_t)m->marks.items[m->marks.count - 1].integer : 0;
}

static bool need(machine *m, uint32_t count) {
    return m->stack.count - stack_floor(m) >= count || damaged(m, "an opcode finds its stack empty");
}

static dvk_pickle_value *top(machine *m) {
    return &m->stack.items[m->stack.count - 1];
}

static bool pop_mark(machine *m, uint32_t *first) {
    if (!m->marks.count)
        return damaged(m, "an opcode finds no mark");
    *first = stack_floor(m);
    m->marks.count--;
    return true;
}

static dvk_pickle_object *new_object(machine *m) {
    dvk_pickle_object *object = dvk_allocate_zeroed(m->allocator, 1, sizeof(*object));
    if (!object) {
        m->result = dvk_fail_memory(m->error, sizeof(*object));
        return NULL;
    }
    object->next = m->objects;
    m->objects = object;
    return object;
}

/* Moves the stack's values from `first` on to the end of the object. */
static bool move_values(machine *m, uint32_t first, dvk_pickle_object *object) {
    uint32_t count = m->stack.count - first;
    if (!count)
        return true;
    if (object->count > PICKLE_LIMIT)
        return damaged(m, "a container is too large");
    if (!object->items && count < 16) {
        /* Exactly: most containers are tuples of a few values. */
        object->items = dvk_allocate(m->allocator, count * sizeof(dvk_pickle_value));
        if (!object->items) {
            m->result = dvk_fail_memory(m->error, count * sizeof(dvk_pickle_value));
            return false;
        }
        object->capacity = count;
    } else {
        values list = {object->items, object->count, object->capacity};
        if (!reserve(m, &list, object->count + count))
            return false;
        object->items = list.items;
        object->capacity = list.capacity;
    }
    memcpy(object->items + object->count, m->stack.items + first, count * sizeof(dvk_pickle_value));
    object->count += count;
    m->stack.count = first;
    return true;
}

/* ------------------------------------------------------------------------------------------------- values */

static bool take(machine *m, uint64_t count, const uint8_t **bytes) {
    if (count > (uint64_t)(m->end - m->next))
        return damaged(m, "it ends in the middle of a value");
    *bytes = m->next;
    m->next += count;
    return true;
}

static bool take_number(machine *m, int bytes, uint64_t *number) {
    const uint8_t *source;
    if (!take(m, (uint64_t)bytes, &source))
        return false;
    *number = 0;
    while (bytes-- > 0)
        *number = *number << 8 | source[bytes];
    return true;
}

static bool push_integer(machine *m, dvk_pickle_kind kind, int64_t integer) {
    return push(m, (dvk_pickle_value){.kind = kind, .integer = integer});
}

static bool push_unsigned(machine *m, int bytes) {
    uint64_t number;
    return take_number(m, bytes, &number) && push_integer(m, DVK_PICKLE_INTEGER, (int64_t)number);
}

/* Two's complement of any length. */
static bool push_long(machine *m, int length_bytes) {
    uint64_t length, number = 0;
    const uint8_t *source;
    if (!take_number(m, length_bytes, &length) || !take(m, length, &source))
        return false;
    if (length > 8)
        return push_integer(m, DVK_PICKLE_OTHER, 0);
    if (length && source[length - 1] & 0x80)
        number = UINT64_MAX;
    while (length-- > 0)
        number = number << 8 | source[length];
    return push_integer(m, DVK_PICKLE_INTEGER, (int64_t)number);
}

static bool push_float(machine *m) {
    const uint8_t *source;
    uint64_t bits = 0;
    if (!take(m, 8, &source))
        return false;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | source[i];
    dvk_pickle_value value = {.kind = DVK_PICKLE_FLOAT};
    memcpy(&value.number, &bits, sizeof(bits));
    return push(m, value);
}

static bool push_text(machine *m, int length_bytes, dvk_pickle_kind kind) {
    uint64_t length;
    const uint8_t *source;
    if (!take_number(m, length_bytes, &length) || !take(m, length, &source))
        return false;
    return push(m, (dvk_pickle_value){.kind = kind, .detail = (uint32_t)length, .text = (const char *)source});
}

/* --------------------------------------------------------------------------------------------- containers */

static bool push_container(machine *m, dvk_pickle_kind kind, uint32_t first) {
    dvk_pickle_object *object = new_object(m);
    if (!object || !move_values(m, first, object))
        return false;
    return push(m, (dvk_pickle_value){.kind = kind, .object = object});
}

static bool push_tuple(machine *m, uint32_t count) {
    return need(m, count) && push_container(m, DVK_PICKLE_TUPLE, m->stack.count - count);
}

static bool push_marked(machine *m, dvk_pickle_kind kind) {
    uint32_t first;
    if (!pop_mark(m, &first))
        return false;
    if (kind == DVK_PICKLE_DICT && (m->stack.count - first) % 2)
        return damaged(m, "a dictionary has a key without a value");
    return push_container(m, kind, first);
}

/* Appends the values from `first` on to the container below them. */
static bool extend(machine *m, dvk_pickle_kind kind, uint32_t first) {
    if (first <= stack_floor(m))
        return damaged(m, "an opcode finds its stack empty");
    dvk_pickle_value *container = &m->stack.items[first - 1];
    if (container->kind != kind)
        return damaged(m, kind == DVK_PICKLE_LIST ? "it appends to something that is no list"
                                                  : "it sets items of something that is no dictionary");
    if (kind == DVK_PICKLE_DICT && (m->stack.count - first) % 2)
        return damaged(m, "a dictionary has a key without a value");
    return move_values(m, first, container->object);
}

static bool extend_marked(machine *m, dvk_pickle_kind kind) {
    uint32_t first;
    return pop_mark(m, &first) && extend(m, kind, first);
}

static bool extend_by(machine *m, dvk_pickle_kind kind, uint32_t count) {
    return need(m, count + 1) && extend(m, kind, m->stack.count - count);
}

/* ------------------------------------------------------------------------------------- functions by name */

static bool same_text(const char *text, size_t length, const char *literal) {
    return strlen(literal) == length && !memcmp(text, literal, length);
}

static bool push_named(machine *m, const char *module, size_t module_length, const char *name, size_t name_length) {
    for (size_t i = 0; i < m->global_count; i++)
        if (same_text(module, module_length, m->globals[i].module) && same_text(name, name_length, m->globals[i].name))
            return push(m, (dvk_pickle_value){.kind = DVK_PICKLE_GLOBAL, .detail = (uint32_t)i});
    return refuse_global(m, module, module_length, name, name_length);
}

static bool take_line(machine *m, const char **line, size_t *length) {
    const uint8_t *end = memchr(m->next, '\n', (size_t)(m->end - m->next));
    if (!end)
        return damaged(m, "it ends in the middle of a name");
    *line = (const char *)m->next;
    *length = (size_t)(end - m->next);
    m->next = end + 1;
    return true;
}

static bool read_global(machine *m) {
    const char *module, *name;
    size_t module_length, name_length;
    return take_line(m, &module, &module_length) && take_line(m, &name, &name_length) &&
           push_named(m, module, module_length, name, name_length);
}

static bool read_stack_global(machine *m) {
    if (!need(m, 2))
        return false;
    const dvk_pickle_value name = top(m)[0], module = top(m)[-1];
    if (name.kind != DVK_PICKLE_TEXT || module.kind != DVK_PICKLE_TEXT)
        return damaged(m, "a function's name is no text");
    m->stack.count -= 2;
    return push_named(m, module.text, module.detail, name.text, name.detail);
}

/* Protocol 0's way to call a class: name first, arguments from the mark. Nothing that torch writes uses it. */
static bool refuse_inst(machine *m) {
    const char *module, *name;
    size_t module_length, name_length;
    return take_line(m, &module, &module_length) && take_line(m, &name, &name_length) &&
           refuse_global(m, module, module_length, name, name_length);
}

/* REDUCE and NEWOBJ: notes the call instead of making it. */
static bool note_call(machine *m) {
    if (!need(m, 2))
        return false;
    const dvk_pickle_value arguments = top(m)[0], function = top(m)[-1];
    if (function.kind != DVK_PICKLE_GLOBAL)
        return damaged(m, "it calls something that is no function");
    if (arguments.kind != DVK_PICKLE_TUPLE)
        return damaged(m, "a call's arguments are no tuple");
    m->stack.count -= 2;
    if (!m->globals[function.detail].is_dict)
        return push(m, (dvk_pickle_value){DVK_PICKLE_CALL, function.detail, {.object = arguments.object}});
    if (arguments.object->count)
        return damaged(m, "a dictionary is made from arguments, expected none");
    return push_container(m, DVK_PICKLE_DICT, m->stack.count);
}

/* The state of an object (a module's _metadata, a namespace's fields) is of no use here. */
static bool drop_state(machine *m) {
    if (!need(m, 2))
        return false;
    dvk_pickle_kind kind = top(m)[-1].kind;
    if (kind != DVK_PICKLE_CALL && kind != DVK_PICKLE_DICT)
        return damaged(m, "it sets the state of something that has none");
    m->stack.count--;
    return true;
}

static bool read_persistent(machine *m) {
    if (!need(m, 1))
        return false;
    if (top(m)->kind != DVK_PICKLE_TUPLE)
        return damaged(m, "a persistent id is no tuple");
    top(m)->kind = DVK_PICKLE_PERSISTENT;
    return true;
}

/* -------------------------------------------------------------------------------------------------- memo */

/* What memo entries hold that were never put: no value of a pickle has this kind. */
#define UNSET ((dvk_pickle_kind)-1)

static bool memo_put(machine *m, uint64_t index) {
    if (!need(m, 1))
        return false;
    if (index >= MEMO_LIMIT)
        return damaged(m, "a memo index is out of range");
    while (m->memo.count <= index)
        if (!push_to(m, &m->memo, (dvk_pickle_value){.kind = UNSET}))
            return false;
    m->memo.items[index] = *top(m);
    return true;
}

static bool memo_get(machine *m, int index_bytes) {
    uint64_t index;
    if (!take_number(m, index_bytes, &index))
        return false;
    if (index >= m->memo.count || m->memo.items[index].kind == UNSET)
        return damaged(m, "it gets a memo entry that was never put");
    return push(m, m->memo.items[index]);
}

static bool read_memo_put(machine *m, int index_bytes) {
    uint64_t index;
    return take_number(m, index_bytes, &index) && memo_put(m, index);
}

/* ----------------------------------------------------------------------------------------------- the loop */

static bool read_protocol(machine *m) {
    uint64_t protocol;
    if (!take_number(m, 1, &protocol))
        return false;
    return (protocol >= 2 && protocol <= 5) || damaged(m, "its protocol is none of 2 to 5");
}

static bool read_frame(machine *m) {
    uint64_t length;
    return take_number(m, 8, &length) &&
           (length <= (uint64_t)(m->end - m->next) || damaged(m, "a frame reaches beyond its end"));
}

static bool drop(machine *m) {
    if (m->stack.count == stack_floor(m) && m->marks.count) {
        m->marks.count--; /* Python's POP takes a mark as well */
        return true;
    }
    if (!need(m, 1))
        return false;
    m->stack.count--;
    return true;
}

static bool drop_marked(machine *m) {
    uint32_t first;
    if (!pop_mark(m, &first))
        return false;
    m->stack.count = first;
    return true;
}

static bool refuse_opcode(machine *m, uint8_t opcode) {
    char what[64];
    snprintf(what, sizeof(what), "opcode 0x%02x is not among those that torch writes", opcode);
    return damaged(m, what);
}

static bool step(machine *m, uint8_t opcode) {
    switch (opcode) {
    case OP_PROTO:
        return read_protocol(m);
    case OP_FRAME:
        return read_frame(m);
    case OP_NONE:
        return push_integer(m, DVK_PICKLE_NONE, 0);
    case OP_NEWTRUE:
    case OP_NEWFALSE:
        return push_integer(m, DVK_PICKLE_BOOL, opcode == OP_NEWTRUE);
    case OP_BININT: {
        uint64_t number;
        return take_number(m, 4, &number) && push_integer(m, DVK_PICKLE_INTEGER, (int32_t)(uint32_t)number);
    }
    case OP_BININT1:
        return push_unsigned(m, 1);
    case OP_BININT2:
        return push_unsigned(m, 2);
    case OP_LONG1:
        return push_long(m, 1);
    case OP_LONG4:
        return push_long(m, 4);
    case OP_BINFLOAT:
        return push_float(m);
    case OP_SHORT_BINUNICODE:
    case OP_SHORT_BINSTRING:
        return push_text(m, 1, DVK_PICKLE_TEXT);
    case OP_BINUNICODE:
    case OP_BINSTRING:
        return push_text(m, 4, DVK_PICKLE_TEXT);
    case OP_BINUNICODE8:
        return push_text(m, 8, DVK_PICKLE_TEXT);
    case OP_SHORT_BINBYTES:
        return push_text(m, 1, DVK_PICKLE_OTHER);
    case OP_BINBYTES:
        return push_text(m, 4, DVK_PICKLE_OTHER);
    case OP_BINBYTES8:
        return push_text(m, 8, DVK_PICKLE_OTHER);
    case OP_MARK:
        return push_to(m, &m->marks, (dvk_pickle_value){.integer = m->stack.count});
    case OP_POP:
        return drop(m);
    case OP_POP_MARK:
        return drop_marked(m);
    case OP_DUP:
        return need(m, 1) && push(m, *top(m));
    case OP_EMPTY_TUPLE:
        return push_tuple(m, 0);
    case OP_TUPLE1:
        return push_tuple(m, 1);
    case OP_TUPLE2:
        return push_tuple(m, 2);
    case OP_TUPLE3:
        return push_tuple(m, 3);
    case OP_TUPLE:
        return push_marked(m, DVK_PICKLE_TUPLE);
    case OP_EMPTY_LIST:
        return push_container(m, DVK_PICKLE_LIST, m->stack.count);
    case OP_LIST:
        return push_marked(m, DVK_PICKLE_LIST);
    case OP_APPEND:
        return extend_by(m, DVK_PICKLE_LIST, 1);
    case OP_APPENDS:
        return extend_marked(m, DVK_PICKLE_LIST);
    case OP_EMPTY_DICT:
        return push_container(m, DVK_PICKLE_DICT, m->stack.count);
    case OP_DICT:
        return push_marked(m, DVK_PICKLE_DICT);
    case OP_SETITEM:
        return extend_by(m, DVK_PICKLE_DICT, 2);
    case OP_SETITEMS:
        return extend_marked(m, DVK_PICKLE_DICT);
    case OP_GLOBAL:
        return read_global(m);
    case OP_STACK_GLOBAL:
        return read_stack_global(m);
    case OP_INST:
        return refuse_inst(m);
    case OP_REDUCE:
    case OP_NEWOBJ:
        return note_call(m);
    case OP_BUILD:
        return drop_state(m);
    case OP_BINPERSID:
        return read_persistent(m);
    case OP_BINPUT:
        return read_memo_put(m, 1);
    case OP_LONG_BINPUT:
        return read_memo_put(m, 4);
    case OP_MEMOIZE:
        return memo_put(m, m->memo.count);
    case OP_BINGET:
        return memo_get(m, 1);
    case OP_LONG_BINGET:
        return memo_get(m, 4);
    default:
        return refuse_opcode(m, opcode);
    }
}

static bool run(machine *m) {
    while (m->next < m->end) {
        uint8_t opcode = *m->next++;
        if (opcode != OP_STOP) {
            if (!step(m, opcode))
                return false;
            continue;
        }
        if (m->stack.count != 1 || m->marks.count)
            return damaged(m, "it stops with more or less than one value");
        return m->next == m->end || damaged(m, "it goes on behind its end");
    }
    return damaged(m, "it does not stop");
}

static void free_objects(const dvk_allocator *allocator, dvk_pickle_object *object) {
    while (object) {
        dvk_pickle_object *next = object->next;
        dvk_release(allocator, object->items);
        dvk_release(allocator, object);
        object = next;
    }
}

dvk_result dvk_pickle_read(const dvk_allocator *allocator, const void *bytes, size_t size,
                           const dvk_pickle_global *globals, size_t global_count, const char *path, dvk_pickle *pickle,
                           dvk_error *error) {
    if (size > PICKLE_LIMIT)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED, "%s: the pickle has %zu bytes, at most %u can be read", path,
                        size, PICKLE_LIMIT);
    if (size < 2 || *(const uint8_t *)bytes != OP_PROTO)
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: the pickle does not begin as those of protocol 2 and later do",
                        path);
    machine m = {.allocator = allocator,
                 .next = bytes,
                 .globals = globals,
                 .global_count = global_count,
                 .path = path,
                 .error = error};
    m.start = m.next;
    m.end = m.start + size;
    bool read = run(&m);
    if (read)
        *pickle = (dvk_pickle){allocator, m.stack.items[0], m.objects};
    else
        free_objects(allocator, m.objects);
    dvk_release(allocator, m.stack.items);
    dvk_release(allocator, m.memo.items);
    dvk_release(allocator, m.marks.items);
    return m.result;
}

void dvk_pickle_free(dvk_pickle *pickle) {
    free_objects(pickle->allocator, pickle->objects);
    memset(pickle, 0, sizeof(*pickle));
}

const dvk_pickle_value *dvk_pickle_get(const dvk_pickle_value *dict, const char *key) {
    if (dict->kind != DVK_PICKLE_DICT)
        return NULL;
    for (uint32_t i = dict->object->count; i >= 2; i -= 2) {
        const dvk_pickle_value *name = &dict->object->items[i - 2];
        if (name->kind == DVK_PICKLE_TEXT && same_text(name->text, name->detail, key))
            return &dict->object->items[i - 1];
    }
    return NULL;
}
