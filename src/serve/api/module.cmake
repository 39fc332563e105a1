# The description travels with what it describes.
stillwatch_embed(sw_serve_api kOpenApi stillwatch::serve::api docs/openapi.yaml)
set(SW_TEST_DEPS_serve_api yaml-cpp)
