# Runs at installation: copies what the programs in DZ_BUNDLED need, each library under the name
# by which it is asked for (wheels hold no links), and the licence of each where dpkg knows it.

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
file(MAKE_DIRECTORY "${to}/licences")
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
    if(package AND EXISTS "${licence}")
        file(COPY_FILE "${licence}" "${to}/licences/${package}.txt" ONLY_IF_DIFFERENT)
    endif()
endforeach()
