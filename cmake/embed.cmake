# Writes OUT: `const EmbeddedFile SYMBOL[]` in NAMESPACE with the name and text of each of FILES,
# ended by an empty name; or of every file below DIR.
set(text "#include \"base/embedded_file.h\"\nnamespace ${NAMESPACE} {\nextern const base::EmbeddedFile ${SYMBOL}[];\nconst base::EmbeddedFile ${SYMBOL}[] = {\n")
separate_arguments(FILES)
if(DIR)
  file(GLOB_RECURSE FILES ${DIR}/*)
endif()
foreach(file ${FILES})
  get_filename_component(name ${file} NAME)
  file(READ ${file} body)
  string(APPEND text "{\"${name}\", R\"SWEMBED(${body})SWEMBED\"},\n")
endforeach()
string(APPEND text "{\"\", \"\"}};\n}\n")
file(WRITE ${OUT} "${text}")
