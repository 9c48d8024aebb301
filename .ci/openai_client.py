"""OpenAI's own client against `/v1/embeddings`, unchanged: python .ci/openai_client.py URL PHOTO"""

import base64
import sys
from pathlib import Path

from openai import NotFoundError, OpenAI

url, photo = sys.argv[1:]
client = OpenAI(base_url=f"{url}/v1", api_key="none")
model = client.models.list().data[0].id
# The client asks for base64 and decodes it unless told otherwise.
texts = client.embeddings.create(model=model, input=["a dog runs", "a cat sleeps"])
plain = client.embeddings.create(model=model, input="a dog runs", encoding_format="float")
assert len(texts.data) == 2 and texts.data[1].index == 1
assert all(abs(a - b) < 1e-6 for a, b in zip(texts.data[0].embedding, plain.data[0].embedding, strict=True))
assert abs(sum(x * x for x in plain.data[0].embedding) - 1) < 1e-4
uri = "data:image/jpeg;base64," + base64.b64encode(Path(photo).read_bytes()).decode()
image = client.embeddings.create(model=model, input=uri, extra_body={"modality": "image"})
assert len(image.data[0].embedding) == len(plain.data[0].embedding)
try:
    client.embeddings.create(model="another", input="x")
except NotFoundError as error:
    assert error.code == "model_not_found"
else:
    sys.exit("another model was taken for ours")
print(f"{model}: {len(plain.data[0].embedding)} dimensions, texts and photos, by OpenAI's client")
