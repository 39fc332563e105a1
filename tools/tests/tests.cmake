# Tests of the house itself: layers, licences, their checkers, the man page, completions.
add_test(NAME layers COMMAND ${CMAKE_SOURCE_DIR}/tools/check_layers)
add_test(NAME layers_checker COMMAND ${CMAKE_SOURCE_DIR}/tools/tests/check_layers_test)
add_test(NAME licences_checker COMMAND ${CMAKE_SOURCE_DIR}/tools/tests/check_licences_test)
if(TARGET stillwatch AND NOT STILLWATCH_SANITIZE)  # a sanitizer's runtime is in no list
  add_test(NAME licences COMMAND ${CMAKE_SOURCE_DIR}/tools/check_licences $<TARGET_FILE:stillwatch> $<TARGET_FILE:base_test>)
endif()
if(TARGET stillwatch)
  add_test(NAME manual COMMAND ${CMAKE_SOURCE_DIR}/tools/tests/manual_test $<TARGET_FILE:stillwatch>)
else()
  add_test(NAME manual COMMAND ${CMAKE_SOURCE_DIR}/tools/tests/manual_test)
endif()
