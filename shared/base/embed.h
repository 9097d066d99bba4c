/* embed.h - files that a program carries; the tables are written by cmake/embed.cmake. */
#ifndef DZ_SHARED_BASE_EMBED_H
#define DZ_SHARED_BASE_EMBED_H

struct dz_embedded {
    const char *name; /* of the file, without its folder; NULL ends a table */
    const char *text; /* NUL-terminated */
};

#endif
