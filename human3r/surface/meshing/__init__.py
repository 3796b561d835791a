"""From keyframes to textured sheets: depths that agree, outlines, planes and triangles."""
