# What goes into the wheel beside the extension: our programs in dagz/bin, and in dagz/lib every
# shared library that they need, except glibc's own.
#
# The programs carry DT_RPATH and not DT_RUNPATH: only the former is also used to find what the
# bundled libraries themselves need, and they come from a distribution, without any path in them.

# Manual pages and completion, which zb writes itself, go to the environment's share folder.

if(DEFINED SKBUILD_DATA_DIR)
    set(DZ_SHARE "${SKBUILD_DATA_DIR}/share")
else()
    set(DZ_SHARE share)
endif()

function(dz_bundle)
    get_property(programs GLOBAL PROPERTY DZ_PROGRAMS)
    if(NOT programs)
        return()
    endif()
    set_target_properties(${programs} PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")
    foreach(program IN LISTS programs)
        target_link_options(${program} PRIVATE -Wl,--disable-new-dtags)
    endforeach()
    install(TARGETS ${programs} RUNTIME DESTINATION dagz/bin COMPONENT python)

    foreach(program IN LISTS programs)
        list(APPEND files $<TARGET_FILE:${program}>)
    endforeach()
    install(DIRECTORY ${PROJECT_BINARY_DIR}/share/ DESTINATION "${DZ_SHARE}" COMPONENT python)

    install(CODE "set(DZ_BUNDLED \"${files}\")" COMPONENT python)
    install(SCRIPT ${PROJECT_SOURCE_DIR}/cmake/bundle_libs.cmake COMPONENT python)
endfunction()
