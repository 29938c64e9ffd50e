"""Static files: hashed names (ES module imports too), compressed, cached for ever."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedStaticFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Also rewrites `import … from './x.js'`, so that modules need no import map."""

    support_js_module_import_aggregation = True
