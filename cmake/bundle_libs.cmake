# Runs at installation: copies what the programs in DZ_BUNDLED need, each library under the name
# by which it is asked for (wheels hold no links), and the licence of each where dpkg knows it.  All
# licences are one file: pytest reads the list of a plugin's files at each start, and so waits for it.

cmake_policy(SET CMP0057 NEW) # if(IN_LIST)

set(glibc "ld-linux.*|libc|libm|libdl|librt|libpthread|libresolv|libutil|libmvec|libanl|libnsl")
file(GET_RUNTIME_DEPENDENCIES
    EXECUTABLES ${DZ_BUNDLED}
    RESOLVED_DEPENDENCIES_VAR libraries
    UNRESOLVED_DEPENDENCIES_VAR missing
    POST_EXCLUDE_REGEXES "/(${glibc})\\.so[.0-9]*$")
if(missing)
    message(FATAL_ERROR "not found, so not bundled: ${missing}")
endif()

set(to "${CMAKE_INSTALL_PREFIX}/dagz/lib")
set(licences "${to}/licences.txt")
file(MAKE_DIRECTORY "${to}")
file(WRITE "${licences}" "Licences of the libraries in this folder, by Debian's package.\n")
set(packages)
find_program(dpkg dpkg-query)
foreach(library IN LISTS libraries)
    get_filename_component(name "${library}" NAME)
    message(STATUS "Bundling ${name}")
    file(COPY_FILE "${library}" "${to}/${name}" ONLY_IF_DIFFERENT)
    if(NOT dpkg)
        continue()
    endif()
    execute_process(COMMAND ${dpkg} -S "*${name}" OUTPUT_VARIABLE owner ERROR_QUIET)
    string(REGEX MATCH "^[^:]+" package "${owner}")
    set(licence "/usr/share/doc/${package}/copyright")
    if(package AND EXISTS "${licence}" AND NOT "${package}" IN_LIST packages)
        list(APPEND packages ${package})
        file(READ "${licence}" text)
        file(APPEND "${licences}" "\n==== ${package} ====\n\n${text}")
    endif()
endforeach()
