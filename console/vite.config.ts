import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// Everything is a file of our own: the policy that the server sends allows no inline script or style.
export default defineConfig({
  plugins: [react()],
  base: "/",
  build: { outDir: "dist", assetsInlineLimit: 0, target: "es2022", modulePreload: { polyfill: false } },
  server: { proxy: { "/api": "http://127.0.0.1:8080" } },
});
