# How our own code is compiled, linked and tested.  Folders' CMakeLists.txt use these words:
#
#   dz_library(wire USES base DOOR MSGPACK SOURCES wire.c)    makes dz_wire
#   dz_program(dagz-agent USES vassal_io conf SOURCES main.c) makes build/*/bin/dagz-agent
#   dz_test(cursor USES wire)                                 runs test_cursor.c with cmocka
#   dz_folders(core io)                                       enters those that have a CMakeLists.txt
#
# DOOR: the foreign libraries that this library, and no other, may include.  They are looked for
# when a door first asks, so a folder can be built on a machine that lacks the others' libraries.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

# name, then the pkg-config modules that provide it: the first one found is taken
set(DZ_DOOR_ZMQ      "libzmq>=4.3")
set(DZ_DOOR_CZMQ     "libczmq>=4.2")
set(DZ_DOOR_LMDB     "lmdb")
set(DZ_DOOR_MSGPACK  "msgpack-c;msgpack")       # renamed in 6.0
set(DZ_DOOR_GIT2     "libgit2>=1.1")
set(DZ_DOOR_YAML     "yaml-0.1")
set(DZ_DOOR_JANSSON  "jansson")
set(DZ_DOOR_ZSTD     "libzstd")
set(DZ_DOOR_XXHASH   "libxxhash")
set(DZ_DOOR_SODIUM   "libsodium")
set(DZ_DOOR_CURL     "libcurl")
set(DZ_DOOR_MXML     "mxml")
set(DZ_DOOR_MHD      "libmicrohttpd")
set(DZ_DOOR_CMOCKA   "cmocka")

add_library(dz_flags INTERFACE)
target_include_directories(dz_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(dz_flags INTERFACE _GNU_SOURCE DZ_VERSION_TEXT="${PROJECT_VERSION}")
target_compile_options(dz_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes
    -Wmissing-prototypes -Wwrite-strings -Wvla -Wundef -Wformat=2 -Wimplicit-fallthrough
    -fno-common -fvisibility=hidden -fno-omit-frame-pointer
    $<$<C_COMPILER_ID:GNU>:-Wjump-misses-init -Wlogical-op -Wduplicated-cond>)
target_link_libraries(dz_flags INTERFACE Threads::Threads)

# CPython's slots cast functions to void *, so not -Wpedantic.
add_library(dz_pyflags INTERFACE)
target_include_directories(dz_pyflags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(dz_pyflags INTERFACE _GNU_SOURCE DZ_VERSION_TEXT="${PROJECT_VERSION}")
target_compile_options(dz_pyflags INTERFACE
    -Wall -Wextra -Wshadow -Wconversion -Wno-cast-function-type -fvisibility=hidden
    -fno-omit-frame-pointer)

foreach(flags dz_flags dz_pyflags)
    # pkg-config names libraries that we include the header of and nothing more
    target_link_options(${flags} INTERFACE -Wl,--as-needed)
    if(DZ_SANITIZE)
        # The checks inserted by a sanitizer make these two warn about paths that cannot be.
        target_compile_options(${flags} INTERFACE
            -fsanitize=${DZ_SANITIZE} -fno-sanitize-recover=all
            -Wno-maybe-uninitialized $<$<C_COMPILER_ID:Clang>:-Wno-unknown-warning-option>)
        target_link_options(${flags} INTERFACE -fsanitize=${DZ_SANITIZE})
    else()
        target_compile_options(${flags} INTERFACE
            -Wnull-dereference
            $<$<CONFIG:Release,RelWithDebInfo>:-D_FORTIFY_SOURCE=2 -fstack-protector-strong>)
        target_link_options(${flags} INTERFACE
            $<$<CONFIG:Release,RelWithDebInfo>:-Wl,-z,relro,-z,now>)
    endif()
endforeach()

# dz_door(OUT LMDB): the imported target of a foreign library, found on first use.
function(dz_door out name)
    string(REPLACE "PkgConfig::" "" name ${name})
    if(NOT DEFINED DZ_DOOR_${name})
        message(FATAL_ERROR "cmake/dagz.cmake knows no foreign library called ${name}")
    endif()
    if(NOT TARGET PkgConfig::${name})
        pkg_search_module(${name} REQUIRED QUIET IMPORTED_TARGET GLOBAL ${DZ_DOOR_${name}})
    endif()
    set(${out} PkgConfig::${name} PARENT_SCOPE)
endfunction()

function(dz_link target)
    cmake_parse_arguments(A "" "" "USES;DOOR" ${ARGN})
    foreach(use IN LISTS A_USES)
        target_link_libraries(${target} PUBLIC dz_${use})
    endforeach()
    foreach(name IN LISTS A_DOOR)
        dz_door(door ${name})
        target_link_libraries(${target} PRIVATE ${door})
    endforeach()
endfunction()

function(dz_library name)
    cmake_parse_arguments(A "" "" "SOURCES;USES;DOOR" ${ARGN})
    add_library(dz_${name} STATIC ${A_SOURCES})
    target_link_libraries(dz_${name} PRIVATE dz_flags)
    dz_link(dz_${name} USES ${A_USES} DOOR ${A_DOOR})
endfunction()

function(dz_program name)
    cmake_parse_arguments(A "" "" "SOURCES;USES;DOOR" ${ARGN})
    if(NOT A_SOURCES)
        set(A_SOURCES main.c)
    endif()
    add_executable(${name} ${A_SOURCES})
    target_link_libraries(${name} PRIVATE dz_flags)
    foreach(use IN LISTS A_USES)
        target_link_libraries(${name} PRIVATE dz_${use})
    endforeach()
    foreach(door IN LISTS A_DOOR)
        dz_door(target ${door})
        target_link_libraries(${name} PRIVATE ${target})
    endforeach()
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
    set_property(GLOBAL APPEND PROPERTY DZ_PROGRAMS ${name})
endfunction()

# The folder below tests/ is part of the name: tests/unit/wire/test_cursor.c is unit.wire.cursor.
# LABEL: unit unless told.  TIMEOUT: seconds, 60 unless told.
function(dz_test name)
    cmake_parse_arguments(A "" "LABEL;TIMEOUT" "SOURCES;USES;DOOR;ARGS" ${ARGN})
    if(NOT A_LABEL)
        set(A_LABEL unit)
    endif()
    if(NOT A_TIMEOUT)
        set(A_TIMEOUT 60)
    endif()
    if(NOT A_SOURCES)
        set(A_SOURCES test_${name}.c)
    endif()
    file(RELATIVE_PATH folder ${PROJECT_SOURCE_DIR}/tests ${CMAKE_CURRENT_SOURCE_DIR})
    string(REPLACE "/" "." dotted ${folder}.${name})
    string(REPLACE "/" "_" target test_${folder}_${name})
    add_executable(${target} ${A_SOURCES})
    dz_door(cmocka CMOCKA)
    target_link_libraries(${target} PRIVATE dz_flags ${cmocka})
    dz_link(${target} USES ${A_USES} DOOR ${A_DOOR})
    add_test(NAME ${dotted} COMMAND ${target} ${A_ARGS})
    set_tests_properties(${dotted} PROPERTIES TIMEOUT ${A_TIMEOUT} LABELS ${A_LABEL})
endfunction()

function(dz_folders)
    foreach(folder IN LISTS ARGN)
        if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/CMakeLists.txt)
            add_subdirectory(${folder})
        endif()
    endforeach()
endfunction()
