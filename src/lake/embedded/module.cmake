# The schema travels inside the binary; the engine is loaded at run time, because its 560 MB would
# cost every command half a second at start.
file(GLOB schema_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/lake/schema/*.sql)
set(schema_cc ${CMAKE_BINARY_DIR}/schema_sql.cc)
add_custom_command(OUTPUT ${schema_cc}
  COMMAND ${CMAKE_COMMAND} -DOUT=${schema_cc} "-DFILES=${schema_files}" -DSYMBOL=kSchemaFiles
          -DNAMESPACE=stillwatch::lake -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
  DEPENDS ${schema_files} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
target_sources(sw_lake_embedded PRIVATE ${schema_cc})
target_compile_definitions(sw_lake_embedded PRIVATE STILLWATCH_CHDB_DIR="${STILLWATCH_CHDB_DIR}")
target_link_libraries(sw_lake_embedded PRIVATE ${CMAKE_DL_LIBS})
