# The engine is loaded on first use, not linked: most commands do without it (README.md).
target_compile_definitions(sw_lake_embedded PRIVATE STILLWATCH_CHDB_DIR="${STILLWATCH_CHDB_DIR}")
target_link_libraries(sw_lake_embedded PRIVATE ${CMAKE_DL_LIBS})
if(NOT EXISTS ${STILLWATCH_CHDB_DIR}/libchdb.so)
  message(FATAL_ERROR "libchdb.so is not in ${STILLWATCH_CHDB_DIR}: run `make setup` first")
endif()
