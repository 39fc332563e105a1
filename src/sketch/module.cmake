# The corpus travels inside the binary.
stillwatch_embed(sw_sketch kCorpusFiles stillwatch::sketch src/sketch/corpus.txt)
# Run only where the processor has it (kernel.h).
set_source_files_properties(${CMAKE_SOURCE_DIR}/src/sketch/kernel_avx2.cc PROPERTIES COMPILE_OPTIONS "-mavx2;-mbmi;-mbmi2;-mpopcnt")
