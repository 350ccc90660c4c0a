/*
 * Key management for MariaDB: gives one server the data keys of its database.
 *
 * Dormouse starts the server with a pipe that holds the keys, and with the pipe's descriptor in the environment
 * variable DORMOUSE_KEYS. The plugin reads the pipe to its end and closes it, so the keys are in no file, in no
 * command line and in no environment. It differs from MariaDB's own file_key_management in that a key has
 * versions: the server encrypts with the newest one and reads with the one that a page names, so a key can be
 * replaced while statements run.
 *
 * The declarations below are those of MariaDB's plugin interface (mysql/plugin.h, mysql/plugin_encryption.h), which
 * have not changed since 10.1.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INTERFACE_VERSION 0x010d
#define ENCRYPTION_PLUGIN 9
#define ENCRYPTION_INTERFACE_VERSION 0x0300
#define LICENSE_BSD 2
#define MATURITY_STABLE 4
#define KEY_VERSION_INVALID (~0u)
#define KEY_BUFFER_TOO_SMALL 100u

#define KEY_LENGTH 32
#define MOST_KEYS 64

/* A key as it comes through the pipe; `record` in keys.rs writes it. */
struct key {
    uint32_t id;
    uint32_t version;
    unsigned char bytes[KEY_LENGTH];
};

static struct key keys[MOST_KEYS];
static size_t count;

static unsigned latest_version(unsigned id)
{
    unsigned best = KEY_VERSION_INVALID;
    for (size_t i = 0; i < count; i++) {
        if (keys[i].id == id && (best == KEY_VERSION_INVALID || keys[i].version > best))
            best = keys[i].version;
    }
    return best;
}

static unsigned get_key(unsigned id, unsigned version, unsigned char *out, unsigned *length)
{
    for (size_t i = 0; i < count; i++) {
        if (keys[i].id != id || keys[i].version != version)
            continue;
        unsigned room = *length;
        *length = KEY_LENGTH;
        if (out == NULL)
            return 0;
        if (room < KEY_LENGTH)
            return KEY_BUFFER_TOO_SMALL;
        memcpy(out, keys[i].bytes, KEY_LENGTH);
        return 0;
    }
    return KEY_VERSION_INVALID;
}

static int forget(void *unused)
{
    (void)unused;
    volatile unsigned char *bytes = (volatile unsigned char *)keys;
    for (size_t i = 0; i < sizeof keys; i++)
        bytes[i] = 0;
    count = 0;
    return 0;
}

static int load(void *unused)
{
    (void)unused;
    const char *text = getenv("DORMOUSE_KEYS");
    if (text == NULL)
        return 1;
    char *end;
    long descriptor = strtol(text, &end, 10);
    if (end == text || *end != '\0' || descriptor < 3 || descriptor > INT32_MAX)
        return 1;
    size_t have = 0;
    ssize_t got = 0;
    while (have < sizeof keys) {
        got = read((int)descriptor, (unsigned char *)keys + have, sizeof keys - have);
        if (got <= 0)
            break;
        have += (size_t)got;
    }
    close((int)descriptor);
    unsetenv("DORMOUSE_KEYS");
    if (got < 0 || have == 0 || have % sizeof(struct key) != 0) {
        forget(NULL);
        return 1;
    }
    count = have / sizeof(struct key);
    return 0;
}

static struct {
    int interface_version;
    unsigned (*latest_version)(unsigned id);
    unsigned (*get_key)(unsigned id, unsigned version, unsigned char *out, unsigned *length);
    /* ciphers: the server's own */
    void *size, *init, *update, *finish, *length;
} encryption = {ENCRYPTION_INTERFACE_VERSION, latest_version, get_key, NULL, NULL, NULL, NULL, NULL};

struct plugin {
    int type;
    void *info;
    const char *name, *author, *description;
    int license;
    int (*init)(void *);
    int (*deinit)(void *);
    unsigned version;
    void *status_variables, *system_variables;
    const char *version_text;
    unsigned maturity;
};

int _maria_plugin_interface_version_ = INTERFACE_VERSION;
int _maria_sizeof_struct_st_plugin_ = sizeof(struct plugin);
struct plugin _maria_plugin_declarations_[] = {
    {ENCRYPTION_PLUGIN, &encryption, "dormouse_keys", "Dormouse", "Data keys of one database", LICENSE_BSD,
     load, forget, 0x0100, NULL, NULL, "1.0", MATURITY_STABLE},
    {0},
};
