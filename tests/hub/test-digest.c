/* The examples of FIPS 180-2's appendices A and B and of NIST's byte-oriented test vectors, in pieces of every size. */
#include "digest.h"

#include "test.h"

static void check(enum digest_kind kind, const char *text, unsigned times, const char *expected) {
    size_t size = strlen(text);
    for (size_t piece = 1; piece <= size + 1; piece++) {
        struct digest digest;
        char hex[DIGEST_HEX_SIZE];
        digest_begin(&digest, kind);
        for (unsigned i = 0; i < times; i++)
            for (size_t at = 0; at < size; at += piece)
                digest_update(&digest, text + at, size - at < piece ? size - at : piece);
        digest_end(&digest, hex);
        CHECK_MESSAGE(!strcmp(hex, expected), "%zu bytes %u times in pieces of %zu: %s, expected %s", size, times,
                      piece, hex, expected);
    }
}

int main(void) {
    static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    static const char ten[] = "aaaaaaaaaa";
    check(DIGEST_SHA1, "", 1, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    check(DIGEST_SHA1, "abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d");
    check(DIGEST_SHA1, two_blocks, 1, "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    check(DIGEST_SHA1, ten, 100000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    check(DIGEST_SHA256, "", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check(DIGEST_SHA256, "abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check(DIGEST_SHA256, two_blocks, 1, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    check(DIGEST_SHA256, ten, 100000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    return FINISH();
}
