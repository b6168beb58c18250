/* The subcommands. Each returns the exit code after everything has been said and cleaned up. */
#ifndef COMMANDS_H_
#define COMMANDS_H_

#include "message.h"
#include "options.h"

int command_run(const struct options *options);
int command_devices(const struct options *options);
int command_info(const struct options *options);
int command_fetch(const struct options *options);
int command_bench(const struct options *options);
int command_selftest(const struct options *options);

#endif
