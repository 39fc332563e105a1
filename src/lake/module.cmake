# The schema travels inside the binary, so that every adapter migrates to the same tables.
file(GLOB schema_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/lake/schema/*.sql)
set(schema_cc ${CMAKE_BINARY_DIR}/schema_sql.cc)
add_custom_command(OUTPUT ${schema_cc}
  COMMAND ${CMAKE_COMMAND} -DOUT=${schema_cc} "-DFILES=${schema_files}" -DSYMBOL=kSchemaFiles
          -DNAMESPACE=stillwatch::lake -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
  DEPENDS ${schema_files} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
target_sources(sw_lake PRIVATE ${schema_cc})
