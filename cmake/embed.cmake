# dz_embed(OUT NAME FILE...): a C file with the bytes of files, as a table of name and text.
#
#   const struct dz_embedded NAME[];  { "zb.job.1.json", "..." }, ended by { NULL, NULL }

function(dz_embed out name)
    set(text "/* Written by cmake/embed.cmake. */\n#include \"shared/base/embed.h\"\n\n")
    set(rows "")
    set(number 0)
    foreach(file IN LISTS ARGN)
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
        get_filename_component(base ${file} NAME)
        file(READ ${file} bytes HEX)
        string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
        string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
        string(APPEND text "static const char file_${number}[] = {\n${bytes}0x00};\n")
        string(APPEND rows "    { \"${base}\", file_${number} },\n")
        math(EXPR number "${number} + 1")
    endforeach()
    string(APPEND text "\nconst struct dz_embedded ${name}[] = {\n${rows}    { 0, 0 },\n};\n")
    set(path ${CMAKE_CURRENT_BINARY_DIR}/${name}.c)
    file(GENERATE OUTPUT ${path} CONTENT "${text}")
    set(${out} ${path} PARENT_SCOPE)
endfunction()
