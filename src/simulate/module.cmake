# Grammar and presets travel inside the binary.
file(GLOB grammar_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/simulate/grammar/*.txt)
file(GLOB scenario_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/scenarios/*.yaml)
foreach(part grammar scenario)
  set(SYMBOL_grammar kGrammarFiles)
  set(SYMBOL_scenario kScenarioFiles)
  set(out ${CMAKE_BINARY_DIR}/simulate_${part}.cc)
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DOUT=${out} "-DFILES=${${part}_files}" -DSYMBOL=${SYMBOL_${part}}
            -DNAMESPACE=stillwatch::simulate -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${${part}_files} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
  target_sources(sw_simulate PRIVATE ${out})
endforeach()
set(SW_TEST_DEPS_simulate simdjson::simdjson)
