# Debian's protoc and its gRPC plugin turn src/serve/grpc/proto/*.proto into build/proto.
find_program(STILLWATCH_PROTOC protoc REQUIRED)
find_program(STILLWATCH_GRPC_PLUGIN grpc_cpp_plugin REQUIRED)
set(proto_out ${CMAKE_BINARY_DIR}/proto)
file(MAKE_DIRECTORY ${proto_out})
file(GLOB protos CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/serve/grpc/proto/*.proto)
set(generated)
foreach(proto ${protos})
  get_filename_component(stem ${proto} NAME_WE)
  set(base ${proto_out}/serve/grpc/proto/${stem})
  set(out ${base}.pb.cc ${base}.pb.h ${base}.grpc.pb.cc ${base}.grpc.pb.h)
  add_custom_command(OUTPUT ${out}
    COMMAND ${STILLWATCH_PROTOC} --proto_path=${CMAKE_SOURCE_DIR}/src --cpp_out=${proto_out} --grpc_out=${proto_out}
            --plugin=protoc-gen-grpc=${STILLWATCH_GRPC_PLUGIN} ${proto}
    DEPENDS ${proto} VERBATIM)
  list(APPEND generated ${out})
endforeach()
add_library(sw_serve_grpc_proto STATIC ${generated})
target_link_libraries(sw_serve_grpc_proto PUBLIC grpc++ grpc gpr protobuf)
target_include_directories(sw_serve_grpc_proto SYSTEM PUBLIC ${proto_out})
# Under ThreadSanitizer protobuf's headers give its classes another layout than Debian's library has.
if(STILLWATCH_SANITIZE STREQUAL "thread")
  target_compile_options(sw_serve_grpc_proto PUBLIC -U__SANITIZE_THREAD__)
endif()
target_link_libraries(sw_serve_grpc PUBLIC sw_serve_grpc_proto)
set(SW_TEST_DEPS_serve_grpc z crypto)
