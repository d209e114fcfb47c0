def text(q, f): return ''
