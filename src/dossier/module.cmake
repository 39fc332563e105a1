# The page's style travels inside the binary.
stillwatch_embed(sw_dossier kStyle stillwatch::dossier src/dossier/page.css)
