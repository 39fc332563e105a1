# The console's page, script and style, built by Vite, travel inside the binary.
set(console ${CMAKE_SOURCE_DIR}/console)
set(console_dist ${CMAKE_BINARY_DIR}/console)
file(GLOB_RECURSE console_sources CONFIGURE_DEPENDS ${console}/src/*.ts ${console}/src/*.tsx
  ${console}/src/*.css ${console}/public/*)
list(FILTER console_sources EXCLUDE REGEX "schema\\.d\\.ts$")
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/console.cc
  COMMAND npm --prefix ${console} run --silent build -- --outDir ${console_dist} --emptyOutDir
    --logLevel warn > ${CMAKE_BINARY_DIR}/console.log
  COMMAND ${CMAKE_COMMAND} -DOUT=${CMAKE_BINARY_DIR}/console.cc -DDIR=${console_dist}
    -DSYMBOL=kConsoleFiles -DNAMESPACE=stillwatch::serve -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
  DEPENDS ${console_sources} ${console}/index.html ${console}/package-lock.json ${console}/package.json
    ${console}/vite.config.ts ${console}/tsconfig.json ${CMAKE_SOURCE_DIR}/docs/openapi.yaml
    ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
  COMMENT "Building the console" VERBATIM)
target_sources(sw_serve_console PRIVATE ${CMAKE_BINARY_DIR}/console.cc)
