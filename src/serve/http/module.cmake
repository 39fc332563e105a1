# Asio fences where g++ 12's thread sanitizer cannot see; it would say so for every handler.
if(STILLWATCH_SANITIZE STREQUAL "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set_source_files_properties(${CMAKE_SOURCE_DIR}/src/serve/http/server.cc PROPERTIES COMPILE_OPTIONS -Wno-tsan)
endif()
