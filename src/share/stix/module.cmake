# The extension's schema travels inside the binary, and in every bundle.
stillwatch_embed(sw_share_stix kExtensionSchema stillwatch::share::stix src/share/stix/extension.json)
