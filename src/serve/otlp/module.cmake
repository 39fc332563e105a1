# Debian's protoc, into build/proto, as serve/grpc does.
find_program(STILLWATCH_PROTOC protoc REQUIRED)
set(otlp_out ${CMAKE_BINARY_DIR}/proto)
file(MAKE_DIRECTORY ${otlp_out})
add_custom_command(
  OUTPUT ${otlp_out}/serve/otlp/otlp.pb.cc ${otlp_out}/serve/otlp/otlp.pb.h
  COMMAND ${STILLWATCH_PROTOC} --proto_path=${CMAKE_SOURCE_DIR}/src --cpp_out=${otlp_out}
          ${CMAKE_SOURCE_DIR}/src/serve/otlp/otlp.proto
  DEPENDS ${CMAKE_SOURCE_DIR}/src/serve/otlp/otlp.proto VERBATIM)
add_library(sw_serve_otlp_proto STATIC ${otlp_out}/serve/otlp/otlp.pb.cc ${otlp_out}/serve/otlp/otlp.pb.h)
target_link_libraries(sw_serve_otlp_proto PUBLIC protobuf-lite)
target_include_directories(sw_serve_otlp_proto SYSTEM PUBLIC ${otlp_out})
target_link_libraries(sw_serve_otlp PUBLIC sw_serve_otlp_proto)
add_dependencies(sw_serve_otlp sw_serve_otlp_proto)
set(SW_TEST_DEPS_serve_otlp sw_lake_embedded)
