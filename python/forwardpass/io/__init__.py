"""Weight files. Nothing is imported here, so that `import forwardpass` stays cheap."""
