# Grammar and presets travel inside the binary.
stillwatch_embed(sw_simulate kGrammarFiles stillwatch::simulate src/simulate/grammar/*.txt)
stillwatch_embed(sw_simulate kScenarioFiles stillwatch::simulate scenarios/*.yaml)
set(SW_TEST_DEPS_simulate simdjson::simdjson)
