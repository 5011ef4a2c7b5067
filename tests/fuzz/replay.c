/* SPDX-License-Identifier: Apache-2.0
 * Stands in for libFuzzer: runs one target on files and on all files of folders, and on each file
 * cut behind every byte, with every byte flipped in three ways, and with every byte removed. Inputs
 * are copied to blocks of their exact size, so that sanitizers see a read past the end. */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fuzz.h"

/* Larger files are run whole only: the variations are quadratic. */
enum { VARIED_MAX = 4096, PATH_MAX_LEN = 4096 };

static void run(const uint8_t *bytes, size_t len) {
    uint8_t *copy = malloc(len ? len : 1);
    FUZZ_REQUIRE(copy);
    if (len) memcpy(copy, bytes, len);
    (void)LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static int vary(uint8_t *bytes, size_t len) {
    static const uint8_t flips[] = {0x01, 0x80, 0xff};
    int runs = 0;
    for (size_t i = 0; i < len; i++, runs++) run(bytes, i);
    for (size_t i = 0; i < len; i++)
        for (size_t f = 0; f < sizeof flips; f++, runs++) {
            bytes[i] ^= flips[f];
            run(bytes, len);
            bytes[i] ^= flips[f];
        }
    uint8_t *without = malloc(len ? len : 1);
    FUZZ_REQUIRE(without);
    for (size_t i = 0; i < len; i++, runs++) {
        memcpy(without, bytes, i);
        memcpy(without + i, bytes + i + 1, len - i - 1);
        run(without, len - 1);
    }
    free(without);
    return runs;
}

static int replay_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return -1;
    }
    struct stat info;
    FUZZ_REQUIRE(fstat(fileno(file), &info) == 0);
    const size_t len = (size_t)info.st_size;
    uint8_t *bytes = malloc(len ? len : 1);
    FUZZ_REQUIRE(bytes);
    const bool whole = fread(bytes, 1, len, file) == len;
    (void)fclose(file);
    int runs = 1;
    if (whole) run(bytes, len);
    if (whole && len <= VARIED_MAX) runs += vary(bytes, len);
    free(bytes);
    return whole ? runs : -1;
}

static int replay_folder(const char *path) {
    DIR *folder = opendir(path);
    if (!folder) return replay_file(path);
    int runs = 0;
    for (const struct dirent *e; runs >= 0 && (e = readdir(folder));) {
        char inside[PATH_MAX_LEN];
        if (e->d_name[0] == '.') continue;
        const int len = snprintf(inside, sizeof inside, "%s/%s", path, e->d_name);
        const int more = len < PATH_MAX_LEN ? replay_file(inside) : -1;
        runs = more < 0 ? -1 : runs + more;
    }
    (void)closedir(folder);
    return runs;
}

int main(int argc, char **argv) {
    int total = 0;
    for (int i = 1; i < argc; i++) {
        const int runs = replay_folder(argv[i]);
        if (runs < 0) return 1;
        total += runs;
    }
    printf("%d inputs\n", total);
    return total > 0 ? 0 : 1; /* an empty corpus tests nothing */
}
