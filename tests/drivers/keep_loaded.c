/* Preloaded under a leak checker: drivers stay mapped after dlclose(), so that their own leaks keep the name by which
 * tests/lsan.supp leaves them out. Without it they are reported as <unknown module>, as ours could be. */
int dlclose(void *library);

__attribute__((visibility("default"))) int dlclose(void *library) {
    (void)library;
    return 0;
}
