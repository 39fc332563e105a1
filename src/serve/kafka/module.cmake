if(STILLWATCH_SANITIZE STREQUAL "thread")
  # Part of each program: of a library nothing of ours asks for it.
  target_sources(sw_serve_kafka INTERFACE ${CMAKE_SOURCE_DIR}/src/serve/kafka/sanitized_threads.c)
endif()
