# The corpus travels inside the binary.
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/corpus_txt.cc
  COMMAND ${CMAKE_COMMAND} -DOUT=${CMAKE_BINARY_DIR}/corpus_txt.cc
          "-DFILES=${CMAKE_SOURCE_DIR}/src/sketch/corpus.txt" -DSYMBOL=kCorpusFiles
          -DNAMESPACE=stillwatch::sketch -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
  DEPENDS ${CMAKE_SOURCE_DIR}/src/sketch/corpus.txt ${CMAKE_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
target_sources(sw_sketch PRIVATE ${CMAKE_BINARY_DIR}/corpus_txt.cc)
# Run only where the processor has it (kernel.h).
set_source_files_properties(${CMAKE_SOURCE_DIR}/src/sketch/kernel_avx2.cc PROPERTIES COMPILE_OPTIONS "-mavx2;-mbmi;-mbmi2;-mpopcnt")
