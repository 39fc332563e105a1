# The formats travel inside the binary.
file(GLOB format_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/ingest/formats/*.sql)
set(formats_cc ${CMAKE_BINARY_DIR}/format_sql.cc)
add_custom_command(OUTPUT ${formats_cc}
  COMMAND ${CMAKE_COMMAND} -DOUT=${formats_cc} "-DFILES=${format_files}" -DSYMBOL=kFormatFiles
          -DNAMESPACE=stillwatch::ingest -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
  DEPENDS ${format_files} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
target_sources(sw_ingest_formats PRIVATE ${formats_cc})
target_link_libraries(sw_ingest_formats PRIVATE simdjson::simdjson)
